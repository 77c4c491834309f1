"""The decoder of DeepLabV3+: Chen et al. 2018 (arXiv 1802.02611), figure 2."""

from __future__ import annotations

from typing import Annotated

import keras
from pydantic import Field

from visiongarden.blocks import ASPP
from visiongarden.decoders.finest import FinestDecoder
from visiongarden.layers import ConvNormAct
from visiongarden.parts.fields import Channels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, stride_of

Rate = Annotated[int, Field(gt=0, le=1024)]


@register
class DeepLabV3Plus(FinestDecoder):
    """DeepLabV3+ decoder: atrous pooling of the coarsest level, merged with details of the finest.

    The paper's backbones end at stride 16 (`levels=("p2", "p4")`), with the rates 6, 12 and 18.

    Attributes:
        channels: channels of the pooling and of the output.
        detail_channels: channels of the finest level after a 1×1 convolution (section 4.1).
        rates: dilation rates of the atrous convolutions.
        activation: activation of all convolutions.
        levels: the finest and the coarsest level are used; the backbone need not have others.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> decoder = vg.decoders.DeepLabV3Plus(channels=32, levels=("p3", "p5"))
        >>> decoder.spec(backbone.spec())
        FeatureSpec(p3: 32 ch /8)
    """

    channels: Channels = 256
    detail_channels: Channels = 48
    rates: tuple[Rate, ...] = (6, 12, 18)
    activation: str = "relu"
    levels: tuple[str, ...] = ("p2", "p4")

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the pooling, the upsampling, and two 3×3 convolutions on the concatenated maps."""
        fine, coarse = self.levels[0], self.levels[-1]
        act = self.activation
        x = ASPP(self.channels, self.rates, activation=act, name="aspp")(features[coarse])
        factor = stride_of(coarse) // stride_of(fine)
        if factor > 1:
            x = keras.layers.UpSampling2D(factor, interpolation="bilinear", name="up")(x)
        detail = ConvNormAct(self.detail_channels, activation=act, name="detail")(features[fine])
        x = keras.layers.Concatenate(name="join")([detail, x])
        for number in (1, 2):
            x = ConvNormAct(self.channels, 3, activation=act, name=f"refine{number}")(x)
        return {fine: x}
