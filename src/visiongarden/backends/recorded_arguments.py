"""Constructor arguments that Keras recorded, and classes that it derives for a backend.

**Why.** `get_config` returns serialized arguments; `check` builds a second instance of a custom
layer from the objects themselves. On PyTorch, an optimizer belongs to a private class, of which a
recipe writes the public name. **Gain:** correctness. **Switch:** none; with an untested version of
Keras, layers are rebuilt from their configs.
"""

from __future__ import annotations

from typing import Any

from visiongarden.backends.versions import is_tested


def recorded_arguments(instance: Any) -> dict[str, Any] | None:
    """Return the constructor arguments of a layer or model by name; None if none were recorded."""
    # Missing where the constructor of Keras was called with unusual arguments.
    auto = vars(instance).get("_auto_config") if is_tested("keras") else None
    return None if auto is None else auto.config


def is_derived_by_keras(kind: type) -> bool:
    """Return whether Keras derived a class from a public one for the backend in use."""
    return kind.__module__.startswith("keras.src.backend.")
