"""`SeparableNormAct`: a depthwise and a 1×1 convolution in place of a whole one."""

from __future__ import annotations

from typing import Any

from visiongarden.layers.composite import Composite
from visiongarden.layers.conv_norm_act import ConvNormAct
from visiongarden.layers.depthwise_norm_act import DepthwiseNormAct
from visiongarden.registry import register


@register
class SeparableNormAct(Composite):
    """A depthwise convolution and a 1×1, each with normalisation and activation.

    Takes `ConvNormAct`'s place at a fraction of its cost (Howard et al. 2017, MobileNets, section
    3.1). Input (batch, height, width, any); output (batch, ceil(height / strides), ceil(width /
    strides), filters).

    Args:
        filters: channels of the output.
        kernel_size: side of the depthwise kernel, in cells.
        strides: of the depthwise convolution.
        activation: of both.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        activation: str | None = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.depth = DepthwiseNormAct(kernel_size, strides, activation)
        self.point = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Mixes places, then channels."""
        return self.point(self.depth(x))
