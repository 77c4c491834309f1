"""`Sum`: addition without broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from visiongarden.errors import UserError
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class Sum(keras.layers.Layer):
    """Add tensors of equal shape, without broadcasting.

    Keras's `Add` and `+` silently broadcast (40, 40, 64) with (40, 40, 1); here that is an error
    when the block is built.

    Raises:
        UserError: the shapes of the inputs differ.

    Example:
        >>> x = keras.Input((8, 8, 4))
        >>> vg.layers.Sum()([x, x]).shape
        (None, 8, 8, 4)
    """

    def build(self, input_shape: Any) -> None:
        """Check that the shapes of the inputs are equal; an unknown dimension matches any other."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Add the tensors in the list `inputs`."""
        total = inputs[0]
        for tensor in inputs[1:]:
            total = total + tensor
        return total

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the common shape of the inputs."""
        first = tuple(input_shape[0])
        for other in input_shape[1:]:
            same = len(first) == len(other) and all(
                a == b or a is None or b is None for a, b in zip(first, other, strict=True)
            )
            if not same:
                raise UserError(
                    f"{self.name!r} cannot add tensors of different shapes",
                    rule="all inputs have the same shape; broadcasting would hide a mistake",
                    received=" and ".join(str(tuple(shape)) for shape in input_shape),
                    fix="give both the same shape, for example with a 1×1 ConvNormAct",
                )
        return first
