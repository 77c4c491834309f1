"""The semantic branch of panoptic feature pyramid networks: Kirillov et al. 2019, figure 3."""

from __future__ import annotations

import keras

from visiongarden.decoders.finest import FinestDecoder
from visiongarden.decoders.fpn import FPN
from visiongarden.layers import ConvNormAct, Sum
from visiongarden.parts.fields import Channels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor, stride_of


@register
class SemanticFPN(FinestDecoder):
    """Feature pyramid whose levels are upsampled to the finest one and added.

    Each level passes a 3×3 convolution and a bilinear upsampling by 2 for each factor of 2 between
    its stride and the finest one; the finest level passes one convolution. arXiv 1901.02446,
    section 3.1, with batch normalization instead of group normalization.

    Attributes:
        channels: channels of the branch and of its output; 128 in the paper.
        pyramid_channels: channels of the feature pyramid; 256 in the paper.
        activation: activation of the branch's convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> decoder = vg.decoders.SemanticFPN(
        ...     channels=16, pyramid_channels=32, levels=("p3", "p4", "p5")
        ... )
        >>> decoder.spec(backbone.spec())
        FeatureSpec(p3: 16 ch /8)
    """

    channels: Channels = 128
    pyramid_channels: Channels = 256
    activation: str = "relu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the pyramid, the upsampling of each level, and the sum."""
        pyramid = FPN(channels=self.pyramid_channels, levels=self.levels).wire(features)
        finest = self.levels[0]
        maps = [self._raised(level, pyramid[level], stride_of(finest)) for level in self.levels]
        return {finest: Sum(name="sum")(maps) if len(maps) > 1 else maps[0]}

    def _raised(self, level: str, x: Tensor, finest: int) -> Tensor:
        """Upsample one level to the size of the finest."""
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
