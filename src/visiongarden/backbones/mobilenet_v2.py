"""MobileNetV2: Sandler et al. 2018 (arXiv 1801.04381), table 2."""

from __future__ import annotations

from typing import Annotated, Any

import keras
from pydantic import Field

from visiongarden.blocks import InvertedResidualStage
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor

_ROWS = (
    # expansion t, channels c, repeats n, stride s of the first block, level after the row
    (1, 16, 1, 1, "p1"),
    (6, 24, 2, 2, "p2"),
    (6, 32, 3, 2, "p3"),
    (6, 64, 4, 2, ""),
    (6, 96, 3, 1, "p4"),
    (6, 160, 3, 2, ""),
    (6, 320, 1, 1, "p5"),
)


@register
class MobileNetV2(Backbone):
    """MobileNetV2: a stem of stride 2 and seven stages of inverted residual blocks.

    Attributes:
        width: factor on the channels.
        top_channels: channels of the 1×1 convolution before the published classifier, 1280 for
            widths up to 1; p5 is then its output. None omits it.
        asymmetric: whether a stride of 2 pads at the right and bottom only, as in the weights of
            TensorFlow and Keras; those of PyTorch need the symmetric padding.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.MobileNetV2().spec()
        FeatureSpec(p3: 32 ch /8, p4: 96 ch /16, p5: 320 ch /32)
    """

    width: Multiplier = 1.0
    top_channels: Annotated[int, Field(gt=0)] | None = None
    asymmetric: bool = False

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build one stage per row of table 2."""
        norm: dict[str, Any] = {"activation": "relu6", "momentum": 0.9, "epsilon": 1e-5}
        channels = rounded_channels(32, self.width)
        x = stem(images, channels, self.asymmetric, norm)
        maps = {}
        for number, (expansion, base, repeats, strides, level) in enumerate(_ROWS, start=1):
            filters = rounded_channels(base, self.width)
            x = InvertedResidualStage(
                filters,
                channels,
                repeats,
                expansion,
                strides=strides,
                asymmetric=self.asymmetric,
                name=f"stage{number}",
                **norm,
            )(x)
            channels = filters
            if level:
                maps[level] = x
        if self.top_channels is not None:
            maps["p5"] = ConvNormAct(self.top_channels, name="top", **norm)(x)
        return maps


def stem(images: Tensor, filters: int, asymmetric: bool, norm: dict[str, Any]) -> Tensor:
    """Build a 3×3 convolution of stride 2, padded symmetrically or as TensorFlow does."""
    if asymmetric:
        images = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name="stem_pad")(images)
    pad = 0 if asymmetric else None
    return ConvNormAct(filters, 3, strides=2, pad=pad, name="stem", **norm)(images)


def rounded_channels(channels: int, width: float) -> int:
    """Scale channels to a multiple of 8 that is at least 90% of the product, as published."""
    scaled = channels * width
    nearest = max(8, int(scaled + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * scaled else nearest
