"""Atrous spatial pyramid pooling: Chen et al. 2017, DeepLabV3 (arXiv 1706.05587), section 3.3."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from visiongarden.layers import Composite, ConvNormAct
from visiongarden.registry import register


@register
class ASPP(Composite):
    """A 1×1 convolution, atrous 3×3 ones, and the mean of the image, side by side, then joined.

    Input (batch, height, width, any); output (batch, height, width, filters).

    Args:
        filters: channels of each branch and of the output.
        rates: of the atrous convolutions.
        activation: of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        rates: tuple[int, ...] = (6, 12, 18),
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.point = ConvNormAct(filters, activation=activation)
        self.holes = [
            ConvNormAct(filters, 3, activation=activation, dilation=rate) for rate in rates
        ]
        self.mean = keras.layers.GlobalAveragePooling2D(keepdims=True)
        self.whole = ConvNormAct(filters, activation=activation)
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Runs the branches and joins them."""
        # One value a channel, spread over the map, whose size may be unknown here.
        whole = self.whole(self.mean(x)) + ops.zeros_like(x[..., :1])  # noqa: VG203
        branches = [self.point(x), *(hole(x) for hole in self.holes), whole]
        return self.out(self.concat(branches))
