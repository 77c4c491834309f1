"""The backbone of YOLO11's published architecture table."""

from __future__ import annotations

from visiongarden.blocks import PSA, SPPF, C3k2
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Channels, Multiplier
from visiongarden.parts.scaling import scaled_channels, scaled_repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class YOLO11Backbone(Backbone):
    """YOLO11's backbone: stride-2 convolutions, C3k2 blocks, SPPF and attention at the end.

    Sizes of the family (depth/width/max_channels): n 0.5/0.25/1024, s 0.5/0.5/1024; with nested
    blocks in every stage m 0.5/1/512, l 1/1/512, x 1/1.5/512.

    Attributes:
        depth: factor on the number of units in each block, which is 2.
        width: factor on the channels, which are 64 to 1024.
        max_channels: upper bound of the channels before scaling.
        nested: whether the blocks of the two fine stages have CSP blocks as units as well; those of
            the two coarse stages always have.
        activation: activation of all convolutions.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.YOLO11Backbone().spec()
        FeatureSpec(p3: 128 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.5
    width: Multiplier = 0.25
    max_channels: Channels = 1024
    nested: bool = False
    activation: str = "silu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages: (channels of the convolution, channels of the block, expansion)."""
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
        return scaled_channels(channels, self.width, self.max_channels)
