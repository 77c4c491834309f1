"""The decoders of YOLOv4 (Bochkovskiy et al. 2020) and of YOLOv4-CSP (Wang et al. 2020)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import keras

from visiongarden.blocks import SPPCSPC, Alternating, AlternatingSPP, ReversedCSP
from visiongarden.layers import ConvNormAct, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, stride_of


class LateralPathAggregation(Decoder):
    """Base: top-down, then bottom-up; a level's own map and its parent's both come through a 1×1.

    Path aggregation (Liu et al. 2018) with concatenation in place of addition (YOLOv4, figure 6).
    Subclasses say what happens to the coarsest map first, and which block merges two maps. Channels
    are 16 a pixel of stride: p3 128, p4 256, p5 512.
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"

    def top(self, filters: int, name: str) -> Any:
        """What the coarsest map goes through first."""
        raise NotImplementedError(f"{type(self).__name__} has no top(); write one")

    def block(self, filters: int, name: str) -> Any:
        """What merges two maps."""
        raise NotImplementedError(f"{type(self).__name__} has no block(); write one")

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Down from the coarsest level, then up from the finest."""
        act, levels = self.activation, self.levels
        x = self.top(self._filters(levels[-1]), f"top_{levels[-1]}")(features[levels[-1]])
        down = {levels[-1]: x}
        for level in reversed(levels[:-1]):
            filters = self._filters(level)
            x = ConvNormAct(filters, activation=act, name=f"lateral_{level}")(x)
            x = Upsampling(2, name=f"up_{level}")(x)
            own = ConvNormAct(filters, activation=act, name=f"own_{level}")(features[level])
            x = keras.layers.Concatenate(name=f"join_down_{level}")([own, x])
            x = down[level] = self.block(filters, f"down_{level}")(x)
        outputs = {levels[0]: x}
        for finer, level in pairwise(levels):
            filters = self._filters(level)
            x = ConvNormAct(filters, 3, strides=2, activation=act, name=f"shrink_{finer}")(x)
            x = keras.layers.Concatenate(name=f"join_up_{level}")([x, down[level]])
            x = outputs[level] = self.block(filters, f"up_block_{level}")(x)
        return outputs

    def _filters(self, level: str) -> int:
        return int(16 * stride_of(level) * self.width)


@register
class YOLOv4Decoder(LateralPathAggregation):
    """Spatial pyramid pooling, then path aggregation with five convolutions a level.

    Attributes:
        width: factor on the channels given on; 1.0 is the paper's.
        activation: of all convolutions.
        levels: any that follow each other.
    """

    def top(self, filters: int, name: str) -> Any:
        """Convolutions in turn around the pooling."""
        return AlternatingSPP(filters, activation=self.activation, name=name)

    def block(self, filters: int, name: str) -> Any:
        """Five convolutions in turn."""
        return Alternating(filters, activation=self.activation, name=name)


@register
class YOLOv4CSPDecoder(LateralPathAggregation):
    """Pooling and merging blocks with cross-stage-partial splits: YOLOv4-CSP.

    Attributes:
        width: factor on the channels given on; 1.0 is the paper's.
        activation: of all convolutions.
        levels: any that follow each other.
    """

    activation: str = "mish"

    def top(self, filters: int, name: str) -> Any:
        """Pooling on one way, a 1×1 around it."""
        return SPPCSPC(filters, (13, 9, 5), activation=self.activation, name=name)

    def block(self, filters: int, name: str) -> Any:
        """Two units, a 1×1 around them."""
        return ReversedCSP(filters, activation=self.activation, name=name)
