"""Blocks that halve height and width by more than a strided convolution."""

from __future__ import annotations

from typing import Any, Literal

import keras

from visiongarden.layers import Composite, ConvNormAct, DepthwiseNormAct, MaxPooling
from visiongarden.registry import register
from visiongarden.types import Tensor


def _blur() -> keras.Layer:
    return keras.layers.AveragePooling2D(2, strides=1)


@register
class MPDown(Composite):
    """Downsampling by max pooling and a stride-2 convolution in parallel, each with a 1×1.

    The transition block of YOLOv7 (official Darknet file; "MP" in its diagrams). Input: (batch,
    height, width, channels). Output: (batch, height / 2, width / 2, filters).

    Args:
        filters: number of output channels, half from each branch.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.MPDown(8)(keras.Input((16, 16, 4))).shape
        (None, 8, 8, 8)
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        half = filters // 2
        self.pool = MaxPooling(2)
        self.pooled = ConvNormAct(half, activation=activation)
        self.into = ConvNormAct(half, activation=activation)
        self.down = ConvNormAct(half, 3, strides=2, activation=activation)
        self.concat = keras.layers.Concatenate()

    def call(self, x: Tensor) -> Tensor:
        """Run both branches and concatenate them, the convolution first."""
        return self.concat([self.down(self.into(x)), self.pooled(self.pool(x))])


@register
class AConv(Composite):
    """Downsampling by a 2×2 average of stride 1 and a 3×3 convolution of stride 2 (small YOLOv9).

    Input: (batch, height, width, channels), height and width even. Output: (batch, height / 2,
    width / 2, filters).

    Args:
        filters: number of output channels.
        activation: activation of the convolution.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.AConv(8)(keras.Input((16, 16, 4))).shape
        (None, 8, 8, 8)
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blur = _blur()
        self.down = ConvNormAct(filters, 3, strides=2, activation=activation)

    def call(self, x: Tensor) -> Tensor:
        """Average, then convolve."""
        return self.down(self.blur(x))


@register
class ADown(Composite):
    """Downsampling by a 2×2 average, then convolution and max pooling on half of the channels each.

    One half passes a stride-2 3×3 convolution, the other max pooling and a 1×1 convolution: "DOWN"
    in YOLOv9's appendix, table 1 (Wang et al. 2024). Input: (batch, height, width, channels),
    height and width even. Output: (batch, height / 2, width / 2, filters).

    Args:
        filters: number of output channels, half from each branch.
        activation: activation of both convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.ADown(8)(keras.Input((16, 16, 4))).shape
        (None, 8, 8, 8)
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        half = filters // 2
        self.blur = _blur()
        self.down = ConvNormAct(half, 3, strides=2, activation=activation)
        # "same" pads with minus infinity; zeros would exceed negative averages at the border.
        self.pool = MaxPooling(3, strides=2, padding="same")
        self.pooled = ConvNormAct(half, activation=activation)
        self.concat = keras.layers.Concatenate()

    def call(self, x: Tensor) -> Tensor:
        """Average, split the channels, downsample both halves, and concatenate them."""
        x = self.blur(x)
        half = x.shape[-1] // 2
        pooled = self.pooled(self.pool(x[..., half:]))
        return self.concat([self.down(x[..., :half]), pooled])


@register
class SCDown(Composite):
    """Spatial-channel decoupled downsampling: a 1×1 convolution, then a depthwise one of stride 2.

    The 1×1 convolution changes the channels, the depthwise 3×3 convolution halves height and width:
    YOLOv10 (Wang et al. 2024, arXiv 2405.14458), section 3.2. Input: (batch, height, width,
    channels). Output: (batch, height / 2, width / 2, filters).

    Args:
        filters: number of output channels.
        activation: activation of the 1×1 convolution; the depthwise one is linear.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.SCDown(8)(keras.Input((16, 16, 4))).shape
        (None, 8, 8, 8)
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point = ConvNormAct(filters, activation=activation)
        self.down = DepthwiseNormAct(3, strides=2, activation=None)

    def call(self, x: Tensor) -> Tensor:
        """Run both convolutions."""
        return self.down(self.point(x))


Down = Literal["AConv", "ADown"]
"""Names of the downsampling blocks that YOLOv9's sizes use."""


def down_block(kind: Down, filters: int, activation: str, name: str) -> keras.Layer:
    """Return the downsampling block with the given class name."""
    block = {"AConv": AConv, "ADown": ADown}[kind]
    return block(filters, activation=activation, name=name)
