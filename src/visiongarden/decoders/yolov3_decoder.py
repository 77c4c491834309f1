"""The decoders of YOLOv3 (Redmon & Farhadi 2018, arXiv 1804.02767, section 2.3) and its kin."""

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
"""Sides of pooling windows in cells."""


@register
class YOLOv3Decoder(Decoder):
    """Five convolutions a level; a finer level sees its parent through a 1×1 and an upsampling.

    Attributes:
        width: factor on the channels given on; 1.0 is the paper's, 16 a pixel of stride: p3 128,
            p4 256, p5 512.
        pool_sizes: windows of the spatial pyramid pooling among the coarsest level's convolutions;
            none in the paper, 13, 9 and 5 in YOLOv3-SPP.
        activation: the paper's is leaky ReLU of slope 0.1.
        levels: any that follow each other.
    """

    width: Multiplier = 1.0
    pool_sizes: PoolSizes = ()
    activation: str = "leaky_relu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """From the coarsest level to the finest."""
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
    """One 3×3 convolution a level: YOLOv3-tiny's and YOLOv4-tiny's, after their Darknet files.

    The coarsest level is narrowed by a 1×1 first; a finer level sees its parent through a 1×1 and
    an upsampling.

    Attributes:
        width: factor on the channels given on; 1.0 is Darknet's, 16 a pixel of stride: p4 256, p5
            512.
        activation: Darknet's is leaky ReLU of slope 0.1.
        levels: any that follow each other.
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"
    levels: tuple[str, ...] = ("p4", "p5")

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """From the coarsest level to the finest."""
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
            out = ConvNormAct(2 * narrow, 3, activation=act, name=f"out_{level}")
            outputs[level] = out(x)
            parent = outputs[level] if parent is None else parent
        return {level: outputs[level] for level in self.levels}
