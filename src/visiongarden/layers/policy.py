"""The dtype policy of a layer made of layers: what its `__init__` makes takes the layer's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras

from visiongarden.backends.keras_internals import dtype_policy

_IN_FORCE = "_policy_in_force"


def scoped(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor within which `put_in_force` has effect; Keras's global policy is put back."""
    if hasattr(init, "_puts_policy_back"):
        return init

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        if _IN_FORCE in vars(self):  # of a derived class, whose scope ends later
            init(self, *args, **kwargs)
            return
        object.__setattr__(self, _IN_FORCE, True)
        try:
            with dtype_policy(None):
                init(self, *args, **kwargs)
        finally:
            object.__delattr__(self, _IN_FORCE)

    __init__._puts_policy_back = True  # type: ignore[attr-defined]
    # Keras compares it with the names that inspect.getfullargspec finds, which does not unwrap.
    __init__.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]
    return __init__


def put_in_force(layer: keras.Layer) -> None:
    """Sublayers made from here to the end of `__init__` take the layer's policy.

    Keras gives them the global one, which in the process that reopens a file may be another: a
    model that was saved under mixed_float16 would then compute in float32 inside.
    """
    if _IN_FORCE in vars(layer):
        keras.config.set_dtype_policy(layer.dtype_policy)
