"""The semantic branch of panoptic feature pyramid networks: Kirillov et al. 2019, figure 3."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.decoders.finest import FinestDecoder
from visiongarden.decoders.fpn import FPN
from visiongarden.layers import ConvNormAct, Sum
from visiongarden.parts.fields import Channels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, stride_of


@register
class SemanticFPN(FinestDecoder):
    """A feature pyramid whose levels are brought to the finest one's size and added.

    Each level passes one 3×3 convolution and a bilinear ×2 for each halving between it and the
    finest; the finest passes one convolution. Arxiv 1901.02446, section 3.1, with batch instead of
    group normalisation.

    Attributes:
        channels: of the branch and of its result; the paper's are 128.
        pyramid_channels: of the feature pyramid; the paper's are 256.
        activation: of the branch's convolutions.
        levels: any that follow each other.
    """

    channels: Channels = 128
    pyramid_channels: Channels = 256
    activation: str = "relu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """The pyramid, then each level's way up, then the sum."""
        pyramid = FPN(channels=self.pyramid_channels, levels=self.levels).wire(features)
        finest = self.levels[0]
        maps = [self._raised(level, pyramid[level], stride_of(finest)) for level in self.levels]
        return {finest: Sum(name="sum")(maps) if len(maps) > 1 else maps[0]}

    def _raised(self, level: str, x: Any, finest: int) -> Any:
        """One level at the finest one's size."""
        halvings = (stride_of(level) // finest).bit_length() - 1
        for step in range(max(halvings, 1)):
            x = ConvNormAct(
                self.channels, 3, activation=self.activation, name=f"{level}_conv{step + 1}"
            )(x)
            if halvings:
                x = keras.layers.UpSampling2D(
                    2, interpolation="bilinear", name=f"{level}_up{step + 1}"
                )(x)
        return x
