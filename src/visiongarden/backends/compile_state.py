"""`own_compile_state`: train a model with another optimizer and loss than it was compiled with.

**Why.** Keras's `fit` requires a compiled model. Compiling discards the optimizer and the loss with
which the user compiled the model, and Keras cannot restore them. **Gain:** a model that was trained
by a recipe would be saved with the optimizer of the run, which takes up to three times the space of
the weights. **Switch:** none; no private names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras

_SET_BY_FIT = {"stop_training", "train_function", "test_function", "predict_function"}


@contextmanager
def own_compile_state(model: keras.Model) -> Iterator[None]:
    """Let a model be compiled and trained, and give it back as it was compiled before."""
    state: Any = vars(model)
    names = _compile_state()
    before = {name: state[name] for name in names if name in state}
    try:
        yield
    finally:
        for name in names:
            state.pop(name, None)
        state.update(before)


@cache
def _compile_state() -> frozenset[str]:
    """Return the names of the attributes that `compile` and `fit` set, and no layer has.

    They are those of a compiled model, so that this file names none of Keras's private ones.
    """

    class Plain(keras.Model):
        """Model without layers."""

    plain = Plain(name="plain")
    plain.compile()
    return frozenset(vars(plain)) - frozenset(vars(keras.layers.Layer(name="layer"))) | _SET_BY_FIT
