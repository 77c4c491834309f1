"""The decoder of YOLOv5: path aggregation with CSP blocks, after its published diagram."""

from __future__ import annotations

from itertools import pairwise

import keras

from visiongarden.blocks import CSP, SeparableCSP
from visiongarden.layers import ConvNormAct, SeparableNormAct, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class CSPPathAggregation(Decoder):
    """Path aggregation of YOLOv5 and YOLOX: top-down, then bottom-up, with CSP blocks.

    A 1×1 convolution reduces each map before it is passed to the finer level; the bottom-up path
    concatenates the reduced maps. Each level keeps its input channels. Also the decoder of YOLOX
    (Ge et al. 2021, section 2.1).

    Attributes:
        depth: factor on the number of units in each block, which is 3.
        depthwise: whether the 3×3 convolutions are depthwise separable, as in YOLOX-Nano.
        activation: activation of all convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.CSPPathAggregation().spec(backbone.spec())
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.33
    depthwise: bool = False
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the path down from the coarsest level, then the path up from the finest."""
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

    def _block(self, filters: int, name: str) -> keras.Layer:
        units = max(round(3 * self.depth), 1)
        block = SeparableCSP if self.depthwise else CSP
        return block(filters, units, shortcut=False, activation=self.activation, name=name)
