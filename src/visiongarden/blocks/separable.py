"""Blocks of YOLOX (Ge et al. 2021): its stem, and its CSP block with separable convolutions."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.blocks.csp import CrossStage
from visiongarden.layers import Composite, ConvNormAct, SeparableNormAct, Sum
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class Focus(Composite):
    """Space-to-depth stem: each 2×2 square of pixels becomes four channels, then a convolution.

    Height and width, which must be even, are halved without losing information. Input: (batch,
    height, width, channels). Output: (batch, height / 2, width / 2, filters).

    Args:
        filters: number of output channels.
        kernel_size: kernel size of the convolution, which has four times the input channels.
        activation: activation of the convolution.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.Focus(8)(keras.Input((16, 16, 3))).shape
        (None, 8, 8, 8)
    """

    def __init__(
        self, filters: int, kernel_size: int = 3, activation: str = "silu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.concat = keras.layers.Concatenate()
        self.conv = ConvNormAct(filters, kernel_size, activation=activation)

    def call(self, x: Tensor) -> Tensor:
        """Concatenate the four pixels of each square, column by column, then convolve."""
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.conv(self.concat(corners))


@register
class SeparableResidual(Composite):
    """`Residual` unit with a depthwise separable 3×3 convolution.

    Args:
        filters: channels of input and output.
        shortcut: whether to add the input.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.SeparableResidual(8)(keras.Input((16, 16, 8))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self, filters: int, shortcut: bool = True, activation: str = "silu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.conv1 = ConvNormAct(filters, activation=activation)
        self.conv2 = SeparableNormAct(filters, activation=activation)
        self.sum = Sum() if shortcut else None

    def call(self, x: Tensor) -> Tensor:
        """Run both convolutions and add the input."""
        y = self.conv2(self.conv1(x))
        return y if self.sum is None else self.sum([x, y])


@register
class SeparableCSP(CrossStage):
    """`CSP` block with separable residual units, as in YOLOX-Nano.

    YOLOX, section 3, "depth wise convolution". Input: (batch, height, width, channels). Output:
    (batch, height, width, filters).

    Args:
        filters: number of output channels.
        repeats: number of residual units.
        shortcut: whether the units add their input.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.SeparableCSP(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        repeats: int = 1,
        shortcut: bool = True,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        half = filters // 2
        units = [SeparableResidual(half, shortcut, activation) for _ in range(repeats)]
        super().__init__(filters, half, units, activation, **kwargs)
