"""ResNet: He et al. 2015 (arXiv 1512.03385), table 1."""

from __future__ import annotations

from typing import Annotated, Literal

import keras
from pydantic import Field

from visiongarden.blocks import ResNetStage
from visiongarden.layers import ConvNormAct, MaxPooling
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.parts.scaling import scaled_channels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor

_UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


@register
class ResNet(Backbone):
    """ResNet: a stem of stride 4 and four residual stages.

    The units are basic ones up to depth 34, and bottlenecks from depth 50.

    Attributes:
        depth: number of weight layers, as in the paper's table 1.
        width: factor on the channels of table 1.
        stride_in: kernel size of the convolution of a bottleneck that has the stride: 3 as in
            PyTorch's weights, or 1 as in the paper and in Keras's weights.
        stem_channels: channels of the stem; None is 64 times `width`.
        asymmetric_pool: whether the pooling after the stem pads at the right and bottom only, as in
            weights that were trained in TensorFlow.
        levels: any of p2 to p5.

    Example:
        >>> vg.backbones.ResNet(depth=18).spec()
        FeatureSpec(p3: 128 ch /8, p4: 256 ch /16, p5: 512 ch /32)
    """

    depth: Literal[18, 34, 50, 101, 152] = 50
    width: Multiplier = 1.0
    stride_in: Literal[1, 3] = 3
    stem_channels: Annotated[int, Field(gt=0)] | None = None
    asymmetric_pool: bool = False

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the column of table 1 of the paper that `depth` selects."""
        base = scaled_channels(64, self.width)
        x = ConvNormAct(
            self.stem_channels or base,
            7,
            strides=2,
            activation="relu",
            momentum=0.9,
            epsilon=1e-5,
            name="stem",
        )(images)
        pad = ((0, 1), (0, 1)) if self.asymmetric_pool else 1
        # Padding with zeros equals padding with minus infinity, since the ReLU outputs are >= 0.
        x = keras.layers.ZeroPadding2D(pad, name="stem_pad")(x)
        x = MaxPooling(3, strides=2, name="stem_pool")(x)
        maps = {}
        for number, repeats in enumerate(_UNITS[self.depth], start=2):
            x = maps[f"p{number}"] = ResNetStage(
                filters=base * 2 ** (number - 2),
                repeats=repeats,
                strides=1 if number == 2 else 2,
                bottleneck=self.depth >= 50,
                stride_in=self.stride_in,
                name=f"stage{number}",
            )(x)
        return maps
