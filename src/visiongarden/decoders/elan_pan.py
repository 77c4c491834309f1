"""The decoders of YOLOv7 and YOLOv7-tiny: official cfg files (Wang et al. 2022)."""

from __future__ import annotations

import itertools
from typing import Any

import keras

from visiongarden.blocks import ELAN, SPPCSPC, MPDown
from visiongarden.layers import ConvNormAct, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import HalvedChannels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class ELANPathAggregation(Decoder):
    """SPP on the coarsest map, then top-down and bottom-up with ELAN blocks.

    A level's own map joins the top-down path through a 1×1. `channels` doubles from level to level.

    Attributes:
        channels: of the finest level given on: 128 in YOLOv7, 64 in YOLOv7-tiny.
        tiny: blocks and transitions of YOLOv7-tiny: two 3×3 in an ELAN, a plain SPP, stride-2
            convolutions without pooling beside.
        activation: of all convolutions; YOLOv7-tiny's cfg has leaky ReLU.
        levels: any that follow each other.
    """

    channels: HalvedChannels = 128
    tiny: bool = False
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """SPP, down from the coarsest level, up from the finest."""
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

    def _block(self, filters: int, name: str) -> Any:
        if self.tiny:
            return ELAN(filters, filters // 2, None, 2, 1, self.activation, name=name)
        return ELAN(filters, filters, filters // 2, 4, 1, self.activation, name=name)

    def _shrink(self, filters: int, name: str) -> Any:
        if self.tiny:
            return ConvNormAct(filters, 3, 2, activation=self.activation, name=name)
        return MPDown(filters, self.activation, name=name)
