"""`any_input_shape`: call a functional model on images of another size than that of its inputs.

**Why.** Keras checks the shapes of inputs against `input_spec`, which can be set to None, but the
setter has no way back. **Gain:** a model that is trained at several image sizes is called itself,
so that callbacks receive it, and checks its inputs again afterwards. **Switch:** none; no private
names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def any_input_shape(model: keras.Model) -> Iterator[None]:
    """Do not check the shapes of inputs inside this context; `call` has to handle them."""
    state: Any = vars(model)
    before = dict(state)
    model.input_spec = None
    # Whatever the setter changed, so that this file names none of Keras's private attributes.
    changed = [name for name, value in state.items() if before.get(name, before) is not value]
    try:
        yield
    finally:
        for name in changed:
            del state[name]
            if name in before:
                state[name] = before[name]
