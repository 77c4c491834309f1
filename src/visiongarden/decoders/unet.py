"""The expanding path of U-Net: Ronneberger et al. 2015 (arXiv 1505.04597), figure 1."""

from __future__ import annotations

import keras

from visiongarden.decoders.finest import FinestDecoder
from visiongarden.layers import ConvNormAct
from visiongarden.parts.fields import Channels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class UNet(FinestDecoder):
    """Expanding path of U-Net: repeated upsampling, concatenation and two 3×3 convolutions.

    A 2×2 transposed convolution upsamples and halves the channels, as in the paper. The 3×3
    convolutions keep height and width, so that no map needs to be cropped.

    Attributes:
        channels: channels of the finest level; each coarser level has twice as many, as in the
            paper.
        max_channels: upper bound of the channels.
        activation: activation of all convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> decoder = vg.decoders.UNet(channels=16, levels=("p3", "p4", "p5"))
        >>> decoder.spec(backbone.spec())
        FeatureSpec(p3: 16 ch /8)
    """

    channels: Channels = 64
    max_channels: Channels = 512
    activation: str = "relu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the levels from the coarsest to the finest."""
        x = features[self.levels[-1]]
        for place in reversed(range(len(self.levels) - 1)):
            level = self.levels[place]
            filters = min(self.channels * 2**place, self.max_channels)
            x = keras.layers.Conv2DTranspose(filters, 2, strides=2, name=f"{level}_up")(x)
            x = keras.layers.Concatenate(name=f"{level}_join")([features[level], x])
            for number in (1, 2):
                x = ConvNormAct(
                    filters, 3, activation=self.activation, name=f"{level}_conv{number}"
                )(x)
        return {self.levels[0]: x}
