"""Automatic names of layers: `fresh_names` and `has_automatic_name`.

**Why.** Keras numbers the layers of a process, so the paths of weights would depend on what was
built before; its only public control, `keras.backend.reset_uids`, resets the numbering permanently,
after which layers that are created later could get the names of existing ones. **Gain:**
correctness: weights have the same paths in every process. **Switch:** none; an untested version of
Keras is checked first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from visiongarden.backends.assumptions import require

_COUNTERS = "object_name_uids"


@contextmanager
def fresh_names() -> Iterator[None]:
    """Number automatic layer names from the start inside this context.

    The paths of weights then do not depend on the layers that were created before.
    """
    require("name_counters")
    from keras.src.backend.common import global_state

    before = global_state.get_global_attribute(_COUNTERS)
    global_state.set_global_attribute(_COUNTERS, defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(_COUNTERS, before or defaultdict(int))


def has_automatic_name(layer: keras.Layer) -> bool:
    """Return whether Keras chose the layer's name: its class in snake case, perhaps numbered."""
    name = _snake_case(type(layer).__name__)
    rest = layer.name.removeprefix(name)
    return layer.name.startswith(name) and (not rest or rest.lstrip("_").isdigit())


def _snake_case(name: str) -> str:
    """Return the name of a class as Keras writes it in automatic names: "conv2d" for "Conv2D"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
