"""Tracing a `call` that computes with sides that are unknown, as an upsampling by reshape does.

`keras.ops.shape` gives numbers for an image and None for a symbolic tensor of unknown height, with
which nothing can be computed. As Keras does on JAX, the call is then traced with two sets of
numbers in the place of the unknown ones; what differs in the results is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from visiongarden.backends.keras_internals import traced_by_backend
from visiongarden.errors import UserError

_FILLED = ((2, 64, 96, 128, 160), (3, 128, 160, 192, 224))
"""For the first, second, ... side where it is unknown; multiples of 32, which strides divide."""


def has_open_sides(given: Any) -> bool:
    """Whether a side of a tensor is unknown."""
    return any(
        side is None
        for leaf in keras.tree.flatten(given)
        if isinstance(leaf, keras.KerasTensor)
        for side in leaf.shape
    )


def traced_filled(call: Callable[[Any], Any], given: Any) -> Any:
    """The output of `call` as symbolic tensors.

    Args:
        call: takes what `given` is.
        given: symbolic tensors with unknown sides, nested.

    Raises:
        Exception: whatever the call raises with numbers for all sides.
        UserError: on TensorFlow, the call takes its numbers from `x.shape`, which has None there.
    """
    one, other = (
        call(keras.tree.map_structure(lambda leaf, sides=sides: _filled(leaf, sides), given))
        for sides in _FILLED
    )
    if keras.backend.backend() == "tensorflow":
        _check_dynamic(call, given)
    return keras.tree.map_structure(_common, one, other)


def _check_dynamic(call: Callable[[Any], Any], given: Any) -> None:
    try:
        traced_by_backend(call, given)
    except Exception as error:
        raise UserError(
            "call() computes with a height or width that is unknown when TensorFlow traces it",
            rule="sizes as tensors: keras.ops.shape(x), where x.shape has None",
            received=" ".join(str(error).split())[:200],
            fix="batch, height, width, channels = keras.ops.shape(x)",
        ) from error


def _filled(leaf: Any, sides: tuple[int, ...]) -> Any:
    if not isinstance(leaf, keras.KerasTensor):
        return leaf
    shape = [
        sides[min(axis, len(sides) - 1)] if side is None else side
        for axis, side in enumerate(leaf.shape)
    ]
    return keras.KerasTensor(tuple(shape), dtype=leaf.dtype)


def _common(one: Any, other: Any) -> Any:
    shape = (a if a == b else None for a, b in zip(one.shape, other.shape, strict=True))
    return keras.KerasTensor(tuple(shape), dtype=one.dtype)
