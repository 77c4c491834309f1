"""Blocks of YOLOX (Ge et al. 2021): its stem, and its CSP block with separable convolutions."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.blocks.csp import CrossStage
from visiongarden.layers import Composite, ConvNormAct, SeparableNormAct, Sum
from visiongarden.registry import register


@register
class Focus(Composite):
    """Every second pixel of every second row is laid aside as a channel, then a convolution.

    Halves height and width, which must be even, and loses nothing. Input (batch, height, width,
    channels); output (batch, height / 2, width / 2, filters).

    Args:
        filters: channels of the output.
        kernel_size: of the convolution, which sees four times the channels.
        activation: of the convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, filters: int, kernel_size: int = 3, activation: str = "silu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.concat = keras.layers.Concatenate()
        self.conv = ConvNormAct(filters, kernel_size, activation=activation)

    def call(self, x: Any) -> Any:
        """Left upper, left lower, right upper, right lower pixel of each four, then convolves."""
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.conv(self.concat(corners))


@register
class SeparableResidual(Composite):
    """`Residual` of which the 3×3 convolution is separable.

    Args:
        filters: channels of input and output.
        shortcut: whether the input is added.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, filters: int, shortcut: bool = True, activation: str = "silu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.conv1 = ConvNormAct(filters, activation=activation)
        self.conv2 = SeparableNormAct(filters, activation=activation)
        self.sum = Sum() if shortcut else None

    def call(self, x: Any) -> Any:
        """Runs both convolutions and adds the input."""
        y = self.conv2(self.conv1(x))
        return y if self.sum is None else self.sum([x, y])


@register
class SeparableCSP(CrossStage):
    """`CSP` with separable residual units: YOLOX-Nano's (section 3, "depth wise convolution").

    Args:
        filters: channels of the output.
        repeats: number of residual units.
        shortcut: whether the units add their input.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
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
