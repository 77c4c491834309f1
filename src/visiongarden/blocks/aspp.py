"""Atrous spatial pyramid pooling: Chen et al. 2017, DeepLabV3 (arXiv 1706.05587), section 3.3."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from visiongarden.layers import Composite, ConvNormAct
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class ASPP(Composite):
    """Atrous spatial pyramid pooling: parallel branches with different receptive fields.

    The branches are a 1×1 convolution, one atrous 3×3 convolution per rate, and the image's mean.
    Their outputs are concatenated and merged by a 1×1 convolution. Input: (batch, height, width,
    channels). Output: (batch, height, width, filters).

    Args:
        filters: channels of each branch and of the output.
        rates: dilation rates of the atrous convolutions.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.ASPP(8, rates=(1, 2))(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
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

    def call(self, x: Tensor) -> Tensor:
        """Run the branches and merge their outputs."""
        # Adding zeros broadcasts the mean over the map, whose height and width may be unknown here.
        whole = self.whole(self.mean(x)) + ops.zeros_like(x[..., :1])  # noqa: VG203
        branches = [self.point(x), *(hole(x) for hole in self.holes), whole]
        return self.out(self.concat(branches))
