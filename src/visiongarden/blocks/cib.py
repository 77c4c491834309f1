"""Compact inverted blocks: YOLOv10 (Wang et al. 2024, arXiv 2405.14458), section 3.2, figure 3b."""

from __future__ import annotations

from typing import Any

from visiongarden.blocks.csp import Aggregation
from visiongarden.blocks.rep_conv import RepDepthwise
from visiongarden.layers import Composite, ConvNormAct, DepthwiseNormAct, Sum
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class CIB(Composite):
    """Compact inverted block: three depthwise 3×3 convolutions with 1×1 convolutions in between.

    The 1×1 convolutions double the channels and halve them again. Depthwise convolutions mix
    positions and 1×1 convolutions mix channels, both at a low cost. The shape is unchanged.

    Args:
        filters: channels of input and output.
        large_kernel: if True, the depthwise convolution in the middle is a 7×7 `RepDepthwise`.
        shortcut: whether to add the input.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.CIB(8)(keras.Input((16, 16, 8))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        large_kernel: bool = False,
        shortcut: bool = True,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        middle = RepDepthwise if large_kernel else DepthwiseNormAct
        self.layers = [
            DepthwiseNormAct(3, activation=activation),
            ConvNormAct(2 * filters, activation=activation),
            middle(activation=activation),
            ConvNormAct(filters, activation=activation),
            DepthwiseNormAct(3, activation=activation),
        ]
        self.sum = Sum() if shortcut else None

    def call(self, x: Tensor) -> Tensor:
        """Run the five convolutions and add the input."""
        y = x
        for layer in self.layers:
            y = layer(y)
        return y if self.sum is None else self.sum([x, y])


@register
class C2fCIB(Aggregation):
    """C2f block with compact inverted blocks as units.

    Input: (batch, height, width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        repeats: number of units.
        large_kernel: whether the units have a 7×7 depthwise convolution.
        shortcut: whether the units add their input.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.C2fCIB(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        repeats: int = 1,
        large_kernel: bool = False,
        shortcut: bool = True,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        half = filters // 2
        units = [CIB(half, large_kernel, shortcut, activation) for _ in range(repeats)]
        super().__init__(filters, half, units, activation, **kwargs)
