"""Compact inverted blocks: YOLOv10 (Wang et al. 2024, arXiv 2405.14458), section 3.2, figure 3b."""

from __future__ import annotations

from typing import Any

from visiongarden.blocks.csp import Aggregation
from visiongarden.blocks.rep_conv import RepDepthwise
from visiongarden.layers import Composite, ConvNormAct, DepthwiseNormAct, Sum
from visiongarden.registry import register


@register
class CIB(Composite):
    """Three depthwise 3×3 with 1×1 between them, to twice the channels and back; input added.

    Depthwise convolutions mix places, 1×1 convolutions mix channels, both cheaply. Shapes stay.

    Args:
        filters: channels of input and output.
        large_kernel: a `RepDepthwise` of 7×7 stands in the middle.
        shortcut: whether the input is added.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
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

    def call(self, x: Any) -> Any:
        """Runs the five convolutions and adds the input."""
        y = x
        for layer in self.layers:
            y = layer(y)
        return y if self.sum is None else self.sum([x, y])


@register
class C2fCIB(Aggregation):
    """The split block C2f with compact inverted blocks as units.

    Args:
        filters: channels of the output.
        repeats: number of units.
        large_kernel: of each unit.
        shortcut: whether the units add their input.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
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
