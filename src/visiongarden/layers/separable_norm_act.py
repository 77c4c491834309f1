"""`SeparableNormAct`: depthwise separable convolution with batch normalization and activations."""

from __future__ import annotations

from typing import Any

from visiongarden.layers.composite import Composite
from visiongarden.layers.conv_norm_act import ConvNormAct
from visiongarden.layers.depthwise_norm_act import DepthwiseNormAct
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class SeparableNormAct(Composite):
    """Depthwise separable convolution: a depthwise and a 1×1 convolution, each normalized.

    Replaces a `ConvNormAct` at a fraction of its cost (Howard et al. 2017, MobileNets, section
    3.1). Input: (batch, height, width, channels). Output: (batch, ceil(height / strides),
    ceil(width / strides), filters).

    Args:
        filters: number of output channels.
        kernel_size: height and width of the depthwise kernel.
        strides: stride of the depthwise convolution.
        activation: activation after both convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.layers.SeparableNormAct(16, strides=2)(keras.Input((32, 32, 8))).shape
        (None, 16, 16, 16)
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

    def call(self, x: Tensor) -> Tensor:
        """Apply the depthwise convolution, then the 1×1 convolution."""
        return self.point(self.depth(x))
