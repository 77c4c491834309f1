"""Decoders of YOLOv4 (Bochkovskiy et al. 2020) and of YOLOv4-CSP (Wang et al. 2020)."""

from __future__ import annotations

from itertools import pairwise

import keras

from visiongarden.blocks import SPPCSPC, Alternating, AlternatingSPP, ReversedCSP
from visiongarden.layers import ConvNormAct, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, stride_of


class LateralPathAggregation(Decoder):
    """Base class of YOLOv4's decoders: top-down, then bottom-up, with 1×1 lateral convolutions.

    Path aggregation (Liu et al. 2018) with concatenation instead of addition (YOLOv4, figure 6).
    Both the level's input and the coarser map pass a 1×1 convolution. Subclasses choose the block
    for the coarsest map and the block that merges two maps. A level has 16 times its stride
    channels: p3 128, p4 256, p5 512.
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"

    def top(self, filters: int, name: str) -> keras.Layer:
        """Return the first block of the coarsest map."""
        raise NotImplementedError(f"{type(self).__name__} must implement top()")

    def block(self, filters: int, name: str) -> keras.Layer:
        """Return a block that merges two concatenated maps."""
        raise NotImplementedError(f"{type(self).__name__} must implement block()")

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the path down from the coarsest level, then the path up from the finest."""
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
    """YOLOv4's decoder: spatial pyramid pooling, then path aggregation.

    Each merged map passes five alternating convolutions.

    Attributes:
        width: factor on the channels; 1.0 is the paper's network.
        activation: activation of all convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.YOLOv4Decoder(width=0.25).spec(backbone.spec())
        FeatureSpec(p3: 32 ch /8, p4: 64 ch /16, p5: 128 ch /32)
    """

    def top(self, filters: int, name: str) -> keras.Layer:
        """Return alternating convolutions around a spatial pyramid pooling."""
        return AlternatingSPP(filters, activation=self.activation, name=name)

    def block(self, filters: int, name: str) -> keras.Layer:
        """Return five alternating convolutions."""
        return Alternating(filters, activation=self.activation, name=name)


@register
class YOLOv4CSPDecoder(LateralPathAggregation):
    """YOLOv4-CSP's decoder: pooling and path aggregation with cross-stage-partial blocks.

    Attributes:
        width: factor on the channels; 1.0 is the paper's network.
        activation: activation of all convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.YOLOv4CSPDecoder(width=0.25).spec(backbone.spec())
        FeatureSpec(p3: 32 ch /8, p4: 64 ch /16, p5: 128 ch /32)
    """

    activation: str = "mish"

    def top(self, filters: int, name: str) -> keras.Layer:
        """Return a spatial pyramid pooling inside a CSP block."""
        return SPPCSPC(filters, (13, 9, 5), activation=self.activation, name=name)

    def block(self, filters: int, name: str) -> keras.Layer:
        """Return a CSP block of two units."""
        return ReversedCSP(filters, activation=self.activation, name=name)
