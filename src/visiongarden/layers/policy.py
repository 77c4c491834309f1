"""Dtype policy of composite layers: sublayers created in `__init__` use the policy of the layer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import keras

from visiongarden.backends.precision import dtype_policy

_IN_FORCE = "_policy_in_force"

_SCOPED: WeakSet[Callable[..., None]] = WeakSet()
"""Constructors that `scoped` has returned; a class may inherit one of them."""


def scoped(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor so that Keras's global dtype policy is restored when it ends."""
    if init in _SCOPED:
        return init

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        if _IN_FORCE in vars(
            self
        ):  # called by the __init__ of a derived class, whose scope is open
            init(self, *args, **kwargs)
            return
        object.__setattr__(self, _IN_FORCE, True)
        try:
            with dtype_policy(None):
                init(self, *args, **kwargs)
        finally:
            object.__delattr__(self, _IN_FORCE)

    _SCOPED.add(__init__)
    # Keras reads the argument names with inspect.getfullargspec, which does not follow __wrapped__.
    __init__.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]
    return __init__


def put_in_force(layer: keras.Layer) -> None:
    """Let sublayers that are created from here to the end of `__init__` use the layer's policy.

    Keras uses the global policy for them, which may differ in the process that reopens a file: a
    model saved under mixed_float16 would then compute in float32 inside.
    """
    if _IN_FORCE in vars(layer):
        keras.config.set_dtype_policy(layer.dtype_policy)
