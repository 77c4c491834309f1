"""Decoders of YOLOv3 (Redmon & Farhadi 2018, arXiv 1804.02767, section 2.3) and its variants."""

from __future__ import annotations

from typing import Annotated

import keras
from pydantic import Field

from visiongarden.blocks import Alternating, AlternatingSPP
from visiongarden.layers import ConvNormAct, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, stride_of

PoolSizes = tuple[Annotated[int, Field(ge=3, le=99, multiple_of=1)], ...]
"""Sizes of pooling windows."""


@register
class YOLOv3Decoder(Decoder):
    """YOLOv3's decoder: a top-down path with five alternating convolutions per level.

    The output of the coarser level passes a 1×1 convolution and an upsampling before it is
    concatenated.

    Attributes:
        width: factor on the channels; 1.0 is the paper's network, where a level has 16 times its
            stride: p3 128, p4 256, p5 512.
        pool_sizes: windows of spatial pyramid pooling within the convolutions of the coarsest
            level; none in the paper, 13, 9 and 5 in YOLOv3-SPP.
        activation: activation of all convolutions; leaky ReLU of slope 0.1 in the paper.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.YOLOv3Decoder(width=0.25).spec(backbone.spec())
        FeatureSpec(p3: 32 ch /8, p4: 64 ch /16, p5: 128 ch /32)
    """

    width: Multiplier = 1.0
    pool_sizes: PoolSizes = ()
    activation: str = "leaky_relu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the levels from the coarsest to the finest."""
        act = self.activation
        outputs: FeatureMaps = {}
        parent = None
        for level in reversed(self.levels):
            filters = int(16 * stride_of(level) * self.width)
            x = features[level]
            if parent is not None:
                up = ConvNormAct(filters, activation=act, name=f"lateral_{level}")
                parent = Upsampling(2, name=f"up_{level}")(up(parent))
                x = keras.layers.Concatenate(name=f"join_{level}")([parent, x])
            block = Alternating(filters, activation=act, name=f"block_{level}")
            if parent is None and self.pool_sizes:
                block = AlternatingSPP(filters, self.pool_sizes, act, name=f"block_{level}")
            parent = outputs[level] = block(x)
        return {level: outputs[level] for level in self.levels}


@register
class TinyDecoder(Decoder):
    """Decoder of YOLOv3-tiny and YOLOv4-tiny: a top-down path with one 3×3 convolution per level.

    After their Darknet files. A 1×1 convolution first reduces the coarsest level. Its output passes
    another 1×1 convolution and an upsampling before it is concatenated with the finer level.

    Attributes:
        width: factor on the channels; 1.0 is Darknet's network, where a level has 16 times its
            stride: p4 256, p5 512.
        activation: activation of all convolutions; leaky ReLU of slope 0.1 in Darknet.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.DarknetTiny(width=0.25)
        >>> vg.decoders.TinyDecoder(width=0.25).spec(backbone.spec())
        FeatureSpec(p4: 64 ch /16, p5: 128 ch /32)
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"
    levels: tuple[str, ...] = ("p4", "p5")

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the levels from the coarsest to the finest."""
        act = self.activation
        outputs: FeatureMaps = {}
        parent = None
        for level in reversed(self.levels):
            narrow = int(8 * stride_of(level) * self.width)
            x = features[level]
            if parent is None:
                x = parent = ConvNormAct(narrow, activation=act, name=f"narrow_{level}")(x)
            else:
                up = ConvNormAct(narrow, activation=act, name=f"lateral_{level}")
                up = Upsampling(2, name=f"up_{level}")(up(parent))
                x = keras.layers.Concatenate(name=f"join_{level}")([up, x])
                parent = None
            # The coarsest level passes on its narrowed map, before the 3×3; finer levels pass on
            # their output.
            out = ConvNormAct(2 * narrow, 3, activation=act, name=f"out_{level}")
            outputs[level] = out(x)
            parent = outputs[level] if parent is None else parent
        return {level: outputs[level] for level in self.levels}
