"""`Sum`: addition that refuses to broadcast."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.errors import UserError
from visiongarden.registry import register


@register
class Sum(keras.layers.Layer):
    """Adds tensors of one shape.

    Keras's `Add` and `+` broadcast (40, 40, 64) with (40, 40, 1) without a word; here that is an
    error when the block is built.

    Raises:
        UserError: the shapes differ.
    """

    def build(self, input_shape: Any) -> None:
        """Compares the shapes; a dimension that is unknown fits any."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        """Adds the tensors in `inputs`, a list."""
        total = inputs[0]
        for tensor in inputs[1:]:
            total = total + tensor
        return total

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The one shape that all inputs have."""
        first = tuple(input_shape[0])
        for other in input_shape[1:]:
            same = len(first) == len(other) and all(
                a == b or a is None or b is None for a, b in zip(first, other, strict=True)
            )
            if not same:
                raise UserError(
                    f"{self.name!r} cannot add tensors of different shapes",
                    rule="all inputs have one shape; broadcasting would hide a mistake",
                    received=" and ".join(str(tuple(shape)) for shape in input_shape),
                    fix="bring both to one shape, for example by a 1×1 ConvNormAct",
                )
        return first
