"""The scaled CSP backbone of YOLOv8's published architecture table."""

from __future__ import annotations

from visiongarden.blocks import SPPF, C2f
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Channels, Multiplier
from visiongarden.parts.scaling import scaled_channels, scaled_repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class CSPDarknet(Backbone):
    """YOLOv8's backbone: stride-2 convolutions, C2f blocks of 3-6-6-3 units, and SPPF at the end.

    Sizes of the family (depth/width/max_channels): n 0.33/0.25/1024, s 0.33/0.5/1024, m
    0.67/0.75/768, l 1/1/512, x 1/1.25/512.

    Attributes:
        depth: factor on the number of units in each block.
        width: factor on the channels, which are 64 to 1024.
        max_channels: upper bound of the channels before scaling.
        activation: activation of all convolutions.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.CSPDarknet(depth=0.33, width=0.25).spec()
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.33
    width: Multiplier = 0.25
    max_channels: Channels = 1024
    activation: str = "silu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages, one per row of the table."""
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
        return scaled_channels(channels, self.width, self.max_channels)
