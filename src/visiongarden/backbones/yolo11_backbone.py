"""The backbone of YOLO11: its published architecture table."""

from __future__ import annotations

from typing import Any

from visiongarden.blocks import PSA, SPPF, C3k2
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Channels, Multiplier
from visiongarden.parts.scaling import scaled_channels, scaled_repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class YOLO11Backbone(Backbone):
    """Stride-2 convolutions and C3k2 blocks of two units, SPPF and attention at the end.

    Sizes of the family (depth/width/most): n 0.5/0.25/1024, s 0.5/0.5/1024; with nested blocks in
    every stage m 0.5/1/512, l 1/1/512, x 1/1.5/512.

    Attributes:
        depth: factor on the number of units in each block.
        width: factor on the channels, 64 to 1024.
        most: bound on the channels before scaling.
        nested: whether also the two fine stages have CSP blocks as units; the coarse ones do.
        activation: of all convolutions.
        levels: any of p1 to p5.
    """

    depth: Multiplier = 0.5
    width: Multiplier = 0.25
    most: Channels = 1024
    nested: bool = False
    activation: str = "silu"

    def wire(self, images: Any) -> FeatureMaps:
        """One row of the table a stage: channels of the convolution, of the block, its half."""
        act, repeats = self.activation, scaled_repeats(2, self.depth)
        x = ConvNormAct(self._channels(64), 3, strides=2, activation=act, name="stem")(images)
        maps = {"p1": x}
        for number, (narrow, channels, expansion) in enumerate(
            ((128, 256, 0.25), (256, 512, 0.25), (512, 512, 0.5), (1024, 1024, 0.5)), start=2
        ):
            down = self._channels(narrow)
            x = ConvNormAct(down, 3, strides=2, activation=act, name=f"down{number}")(x)
            filters, nested = self._channels(channels), self.nested or number >= 4
            x = C3k2(filters, repeats, nested, expansion, activation=act, name=f"stage{number}")(x)
            if number == 5:
                x = SPPF(filters, activation=act, name="pool")(x)
                x = PSA(filters, repeats, act, name="attention")(x)
            maps[f"p{number}"] = x
        return maps

    def _channels(self, channels: int) -> int:
        return scaled_channels(channels, self.width, self.most)
