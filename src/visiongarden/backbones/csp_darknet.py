"""A scaled CSP backbone: the backbone of YOLOv8's published architecture table."""

from __future__ import annotations

from typing import Any

from visiongarden.blocks import SPPF, C2f
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Channels, Multiplier
from visiongarden.parts.scaling import scaled_channels, scaled_repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class CSPDarknet(Backbone):
    """Stride-2 convolutions and C2f blocks, 3-6-6-3 units, SPPF at the end; scaled in two ways.

    Sizes of the family: n 0.33/0.25/1024, s 0.33/0.5/1024, m 0.67/0.75/768, l 1/1/512,
    x 1/1.25/512 (depth/width/most).

    Attributes:
        depth: factor on the number of units in each block.
        width: factor on the channels, 64 to 1024.
        most: bound on the channels before scaling.
        activation: of all convolutions.
        levels: any of p1 to p5.
    """

    depth: Multiplier = 0.33
    width: Multiplier = 0.25
    most: Channels = 1024
    activation: str = "silu"

    def wire(self, images: Any) -> FeatureMaps:
        """One row of the table a stage."""
        act = self.activation
        x = ConvNormAct(self._channels(64), 3, strides=2, activation=act, name="stem")(images)
        maps = {"p1": x}
        for number, (channels, repeats) in enumerate(
            ((128, 3), (256, 6), (512, 6), (1024, 3)), start=2
        ):
            filters = self._channels(channels)
            x = ConvNormAct(filters, 3, strides=2, activation=act, name=f"down{number}")(x)
            units = scaled_repeats(repeats, self.depth)
            x = C2f(filters, units, activation=act, name=f"stage{number}")(x)
            if number == 5:
                x = SPPF(filters, activation=act, name="pool")(x)
            maps[f"p{number}"] = x
        return maps

    def _channels(self, channels: int) -> int:
        return scaled_channels(channels, self.width, self.most)
