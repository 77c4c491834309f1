"""Blocks that halve height and width by more than one convolution."""

from __future__ import annotations

from typing import Any, Literal

import keras

from visiongarden.layers import Composite, ConvNormAct, DepthwiseNormAct, MaxPooling
from visiongarden.registry import register


def _blur() -> keras.Layer:
    return keras.layers.AveragePooling2D(2, strides=1)


@register
class MPDown(Composite):
    """Max pooling and a stride-2 convolution side by side, each behind or before a 1×1.

    The transition of YOLOv7 (official Darknet file; "MP" in its diagrams). Input (batch, height,
    width, any); output (batch, height / 2, width / 2, filters).

    Args:
        filters: channels of the output, half from each way.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        half = filters // 2
        self.pool = MaxPooling(2)
        self.pooled = ConvNormAct(half, activation=activation)
        self.into = ConvNormAct(half, activation=activation)
        self.down = ConvNormAct(half, 3, strides=2, activation=activation)
        self.concat = keras.layers.Concatenate()

    def call(self, x: Any) -> Any:
        """Runs both ways and joins, the convolution's first."""
        return self.concat([self.down(self.into(x)), self.pooled(self.pool(x))])


@register
class AConv(Composite):
    """A 2×2 average of stride 1, then a 3×3 convolution of stride 2 (small models of YOLOv9).

    Output (batch, height / 2, width / 2, filters); even sides.

    Args:
        filters: channels of the output.
        activation: of the convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blur = _blur()
        self.down = ConvNormAct(filters, 3, strides=2, activation=activation)

    def call(self, x: Any) -> Any:
        """Averages and convolves."""
        return self.down(self.blur(x))


@register
class ADown(Composite):
    """A 2×2 average; one half through a stride-2 3×3, the other through max pooling and a 1×1.

    "DOWN" in YOLOv9's appendix, table 1 (Wang et al. 2024). Output (batch, height / 2, width / 2,
    filters); even sides.

    Args:
        filters: channels of the output, half from each way.
        activation: of both convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        half = filters // 2
        self.blur = _blur()
        self.down = ConvNormAct(half, 3, strides=2, activation=activation)
        # Zeros may win over negative averages at the border; "same" pads with minus infinity.
        self.pool = MaxPooling(3, strides=2, padding="same")
        self.pooled = ConvNormAct(half, activation=activation)
        self.concat = keras.layers.Concatenate()

    def call(self, x: Any) -> Any:
        """Averages, splits the channels, halves both ways, joins."""
        x = self.blur(x)
        half = x.shape[-1] // 2
        pooled = self.pooled(self.pool(x[..., half:]))
        return self.concat([self.down(x[..., :half]), pooled])


@register
class SCDown(Composite):
    """Channels by a 1×1, then height and width by a depthwise 3×3 of stride 2.

    Spatial-channel decoupled downsampling: YOLOv10 (Wang et al. 2024, arXiv 2405.14458), section
    3.2. Output (batch, height / 2, width / 2, filters).

    Args:
        filters: channels of the output.
        activation: of the 1×1; the depthwise convolution has none.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point = ConvNormAct(filters, activation=activation)
        self.down = DepthwiseNormAct(3, strides=2, activation=None)

    def call(self, x: Any) -> Any:
        """Runs both convolutions."""
        return self.down(self.point(x))


Down = Literal["AConv", "ADown"]
"""Names of the blocks between which YOLOv9's sizes choose."""


def down_block(kind: Down, filters: int, activation: str, name: str) -> keras.Layer:
    """The block of that name, which halves height and width."""
    block = {"AConv": AConv, "ADown": ADown}[kind]
    return block(filters, activation=activation, name=name)
