"""Tracing of a `call` that computes with unknown heights and widths, such as a custom upsampling.

`keras.ops.shape` returns numbers for an image, and None for an unknown dimension of a symbolic
tensor, with which a layer cannot compute. As Keras does on JAX, the call is then traced with two
different sets of numbers in place of the unknown dimensions; the dimensions that differ in the two
results are unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from visiongarden.backends.tracing import keeps_unknown_sizes, traced_by_backend
from visiongarden.errors import UserError
from visiongarden.types import Tensor

_FILLED = ((2, 64, 96, 128, 160), (3, 128, 160, 192, 224))
"""Sizes for the first, second, ... unknown dimension; multiples of 32, which the strides divide."""


def has_open_sides(given: Any) -> bool:
    """Return whether any tensor in a nested structure has an unknown dimension."""
    return any(
        side is None
        for leaf in keras.tree.flatten(given)
        if isinstance(leaf, keras.KerasTensor)
        for side in leaf.shape
    )


def traced_filled(call: Callable[[Any], Any], given: Any) -> Any:
    """Return the output of `call` as symbolic tensors.

    Args:
        call: function of a structure like `given`.
        given: nested structure of symbolic tensors with unknown dimensions.

    Raises:
        Exception: any error that `call` raises when all dimensions are known.
        UserError: on TensorFlow, `call` computes with `x.shape`, which contains None in a graph.
    """
    one, other = (
        call(keras.tree.map_structure(lambda leaf, sides=sides: _filled(leaf, sides), given))
        for sides in _FILLED
    )
    # TensorFlow's graphs keep dimensions unknown; JAX and PyTorch always see numbers.
    if keeps_unknown_sizes():
        _check_dynamic(call, given)
    return keras.tree.map_structure(_common, one, other)


def _check_dynamic(call: Callable[[Any], Any], given: Any) -> None:
    try:
        traced_by_backend(call, given)
    except Exception as error:
        raise UserError(
            "call() uses a height or width that is unknown when TensorFlow traces it",
            rule="sizes are read with keras.ops.shape(x), because x.shape may contain None",
            received=" ".join(str(error).split())[:200],
            fix="batch, height, width, channels = keras.ops.shape(x)",
        ) from error


def _filled(leaf: Tensor, sides: tuple[int, ...]) -> Tensor:
    if not isinstance(leaf, keras.KerasTensor):
        return leaf
    shape = [
        sides[min(axis, len(sides) - 1)] if side is None else side
        for axis, side in enumerate(leaf.shape)
    ]
    return keras.KerasTensor(tuple(shape), dtype=leaf.dtype)


def _common(one: Tensor, other: Tensor) -> Tensor:
    shape = (a if a == b else None for a, b in zip(one.shape, other.shape, strict=True))
    return keras.KerasTensor(tuple(shape), dtype=one.dtype)
