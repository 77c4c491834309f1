"""The decoder of YOLOv5: path aggregation with CSP blocks, its published table and diagram."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import keras

from visiongarden.blocks import CSP, SeparableCSP
from visiongarden.layers import ConvNormAct, SeparableNormAct, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class CSPPathAggregation(Decoder):
    """Top-down, then bottom-up; a 1×1 narrows each map before it goes to the finer level.

    Also the decoder of YOLOX (Ge et al. 2021, section 2.1). Each level keeps the channels it came
    with; the narrowed maps are what the bottom-up path joins.

    Attributes:
        depth: factor on the three units of each block.
        depthwise: whether the 3×3 convolutions are separable, as in YOLOX-Nano.
        activation: of all convolutions.
        levels: any that follow each other.
    """

    depth: Multiplier = 0.33
    depthwise: bool = False
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Down from the coarsest level, then up from the finest."""
        act, levels = self.activation, self.levels
        conv = SeparableNormAct if self.depthwise else ConvNormAct
        widths = {level: features[level].shape[-1] for level in levels}
        x = features[levels[-1]]
        narrowed = {}
        for level, coarser in zip(levels[-2::-1], levels[::-1], strict=False):
            lateral = ConvNormAct(widths[level], activation=act, name=f"lateral_{coarser}")
            narrowed[coarser] = lateral(x)
            x = Upsampling(2, name=f"upsample_{level}")(narrowed[coarser])
            x = keras.layers.Concatenate(name=f"join_down_{level}")([x, features[level]])
            x = self._block(widths[level], f"down_{level}")(x)
        if len(levels) == 1:
            x = self._block(widths[levels[0]], f"down_{levels[0]}")(x)
        outputs = {levels[0]: x}
        for finer, level in pairwise(levels):
            x = conv(widths[finer], 3, strides=2, activation=act, name=f"shrink_{finer}")(x)
            x = keras.layers.Concatenate(name=f"join_up_{level}")([x, narrowed[level]])
            x = outputs[level] = self._block(widths[level], f"up_{level}")(x)
        return outputs

    def _block(self, filters: int, name: str) -> Any:
        units = max(round(3 * self.depth), 1)
        block = SeparableCSP if self.depthwise else CSP
        return block(filters, units, shortcut=False, activation=self.activation, name=name)
