"""Decoders of YOLOv7 and YOLOv7-tiny, after their official cfg files (Wang et al. 2022)."""

from __future__ import annotations

import itertools

import keras

from visiongarden.blocks import ELAN, SPPCSPC, MPDown
from visiongarden.layers import ConvNormAct, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import HalvedChannels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class ELANPathAggregation(Decoder):
    """YOLOv7's decoder: SPP on the coarsest map, then top-down and bottom-up with ELAN blocks.

    A 1×1 convolution precedes the concatenation of each level's input with the top-down path. The
    channels double from level to level.

    Attributes:
        channels: channels of the finest level that is returned: 128 in YOLOv7, 64 in YOLOv7-tiny.
        tiny: whether to use the blocks of YOLOv7-tiny: two 3×3 convolutions in an ELAN, a plain
            SPP, and stride-2 convolutions without parallel pooling.
        activation: activation of all convolutions; leaky ReLU in YOLOv7-tiny's cfg file.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.ELANPathAggregation(channels=16).spec(backbone.spec())
        FeatureSpec(p3: 16 ch /8, p4: 32 ch /16, p5: 64 ch /32)
    """

    channels: HalvedChannels = 128
    tiny: bool = False
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the SPP, the path down from the coarsest level, and the path up from the finest."""
        act, levels = self.activation, self.levels
        widths = {level: self.channels * 2**i for i, level in enumerate(levels)}
        spp = SPPCSPC(widths[levels[-1]], plain=self.tiny, activation=act, name="pool")
        x = spp(features[levels[-1]])
        down = {levels[-1]: x}
        for level in reversed(levels[:-1]):
            narrow = ConvNormAct(widths[level], activation=act, name=f"narrow_{level}")
            x = Upsampling(2, name=f"upsample_{level}")(narrow(x))
            lateral = ConvNormAct(widths[level], activation=act, name=f"lateral_{level}")
            own = lateral(features[level])
            x = keras.layers.Concatenate(name=f"join_down_{level}")([own, x])
            x = down[level] = self._block(widths[level], f"down_{level}")(x)
        outputs = {levels[0]: x}
        for finer, level in itertools.pairwise(levels):
            x = self._shrink(widths[level], f"shrink_{finer}")(x)
            x = keras.layers.Concatenate(name=f"join_up_{level}")([x, down[level]])
            x = outputs[level] = self._block(widths[level], f"up_{level}")(x)
        return outputs

    def _block(self, filters: int, name: str) -> keras.Layer:
        if self.tiny:
            return ELAN(filters, filters // 2, None, 2, 1, self.activation, name=name)
        return ELAN(filters, filters, filters // 2, 4, 1, self.activation, name=name)

    def _shrink(self, filters: int, name: str) -> keras.Layer:
        if self.tiny:
            return ConvNormAct(filters, 3, 2, activation=self.activation, name=name)
        return MPDown(filters, self.activation, name=name)
