"""Inverted residual blocks: Sandler et al. 2018 (MobileNetV2), Tan & Le 2019 (EfficientNet)."""

from __future__ import annotations

from typing import Any

from visiongarden.layers import (
    Composite,
    ConvNormAct,
    DepthwiseNormAct,
    SqueezeExcite,
    StochasticDepth,
    Sum,
)
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class InvertedResidual(Composite):
    """Inverted residual block (Sandler et al. 2018, table 1).

    A 1×1 convolution expands the channels, a depthwise convolution follows, and a 1×1 convolution
    without activation reduces them. Input: (batch, height, width, channels). Output: (batch,
    height / strides, width / strides, filters).

    Args:
        filters: number of output channels.
        hidden: channels of the depthwise convolution; None omits the 1×1 convolution before it.
        kernel_size: kernel size of the depthwise convolution.
        strides: stride of the depthwise convolution.
        shortcut: whether to add the input.
        activation: activation of the first two convolutions.
        squeeze: channels of the squeeze-and-excitation after the depthwise convolution, which needs
            `hidden`; None for none (Tan & Le 2019).
        drop: probability that the block is skipped in training, see `StochasticDepth`; needs
            `shortcut`.
        momentum: momentum of the moving averages in batch normalization.
        epsilon: value that batch normalization adds to the variance.
        asymmetric: whether a stride of 2 pads as TensorFlow does, see `DepthwiseNormAct`.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.InvertedResidual(24, hidden=96, strides=2)(keras.Input((32, 32, 16))).shape
        (None, 16, 16, 24)
    """

    def __init__(
        self,
        filters: int,
        hidden: int | None = None,
        kernel_size: int = 3,
        strides: int = 1,
        shortcut: bool = False,
        activation: str = "relu6",
        squeeze: int | None = None,
        drop: float = 0.0,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        asymmetric: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        norm: dict[str, Any] = {"momentum": momentum, "epsilon": epsilon}
        self.expand = None
        if hidden is not None:
            self.expand = ConvNormAct(hidden, 1, activation=activation, **norm)
        self.depth = DepthwiseNormAct(
            kernel_size, strides, activation=activation, asymmetric=asymmetric, **norm
        )
        self.attention = None
        if squeeze is not None and hidden is not None:
            self.attention = SqueezeExcite(hidden, squeeze, activation)
        self.project = ConvNormAct(filters, 1, activation=None, **norm)
        self.drop = StochasticDepth(drop) if shortcut and drop else None
        self.sum = Sum() if shortcut else None

    def call(self, x: Tensor) -> Tensor:
        """Run the convolutions, and add the input."""
        y = x if self.expand is None else self.expand(x)
        y = self.depth(y)
        y = y if self.attention is None else self.attention(y)
        y = self.project(y)
        if self.sum is None:
            return y
        return self.sum([x, y if self.drop is None else self.drop(y)])


@register
class InvertedResidualStage(Composite):
    """Inverted residual blocks, the first of which changes stride and channels.

    Args:
        filters: number of output channels.
        channels: number of input channels.
        repeats: number of blocks.
        expansion: channels of the depthwise convolutions, as a multiple of the blocks' input; 1
            omits the 1×1 convolutions before them.
        kernel_size: kernel size of the depthwise convolutions.
        strides: stride of the first block.
        drops: probabilities that the blocks are skipped in training, one per block.
        **kwargs: `activation`, `momentum`, `epsilon` and `asymmetric` of the blocks, and `name`,
            `dtype`, `trainable`.

    Example:
        >>> stage = vg.blocks.InvertedResidualStage(24, 16, repeats=2, strides=2)
        >>> stage(keras.Input((32, 32, 16))).shape
        (None, 16, 16, 24)
    """

    def __init__(
        self,
        filters: int,
        channels: int,
        repeats: int = 1,
        expansion: int = 6,
        kernel_size: int = 3,
        strides: int = 1,
        drops: tuple[float, ...] = (),
        activation: str = "relu6",
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        asymmetric: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        shared: dict[str, Any] = {
            "kernel_size": kernel_size,
            "activation": activation,
            "momentum": momentum,
            "epsilon": epsilon,
            "asymmetric": asymmetric,
        }
        taken = [channels, *[filters] * (repeats - 1)]
        self.units = [
            InvertedResidual(
                filters,
                hidden=None if expansion == 1 else expansion * count,
                strides=strides if i == 0 else 1,
                shortcut=(strides == 1 or i > 0) and count == filters,
                drop=drops[i] if i < len(drops) else 0.0,
                **shared,
            )
            for i, count in enumerate(taken)
        ]

    def call(self, x: Tensor) -> Tensor:
        """Run the blocks."""
        for unit in self.units:
            x = unit(x)
        return x
