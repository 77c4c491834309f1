"""The backbone of YOLOv5 v6, after its published architecture table and diagram."""

from __future__ import annotations

from visiongarden.blocks import CSP, SPPF
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.parts.scaling import scaled_channels, scaled_repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class YOLOv5Backbone(Backbone):
    """YOLOv5's backbone: a 6×6 stem, CSP blocks of 3-6-9-3 units, and SPPF at the end.

    Sizes of the family (depth/width): n 0.33/0.25, s 0.33/0.5, m 0.67/0.75, l 1/1, x 1.33/1.25.

    Attributes:
        depth: factor on the number of units in each block.
        width: factor on the channels, which are 64 to 1024.
        activation: activation of all convolutions.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.YOLOv5Backbone(width=0.25).spec()
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.33
    width: Multiplier = 0.5
    activation: str = "silu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages, one per row of the table."""
        act = self.activation
        stem = scaled_channels(64, self.width)
        x = ConvNormAct(stem, 6, strides=2, pad=2, activation=act, name="stem")(images)
        maps = {"p1": x}
        for number, (channels, repeats) in enumerate(
            ((128, 3), (256, 6), (512, 9), (1024, 3)), start=2
        ):
            filters = scaled_channels(channels, self.width)
            x = ConvNormAct(filters, 3, strides=2, activation=act, name=f"down{number}")(x)
            units = scaled_repeats(repeats, self.depth)
            x = CSP(filters, units, activation=act, name=f"stage{number}")(x)
            if number == 5:
                x = SPPF(filters, activation=act, name="pool")(x)
            maps[f"p{number}"] = x
        return maps
