"""The CSP backbone of YOLOX: Ge et al. 2021 (arXiv 2107.08430), section 3."""

from __future__ import annotations

from visiongarden.blocks import CSP, SPP, Focus, SeparableCSP
from visiongarden.layers import ConvNormAct, SeparableNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.parts.scaling import scaled_channels, scaled_repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class YOLOXDarknet(Backbone):
    """YOLOX's backbone: a focus stem, CSP blocks of 3-9-9-3 units, and SPP in the last stage.

    Sizes of the family (depth/width): nano 0.33/0.25 (depthwise), tiny 0.33/0.375, s 0.33/0.5, m
    0.67/0.75, l 1/1, x 1.33/1.25.

    Attributes:
        depth: factor on the number of units in each block.
        width: factor on the channels, which are 64 to 1024.
        depthwise: whether the 3×3 convolutions after the stem are depthwise separable.
        activation: activation of all convolutions.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.YOLOXDarknet(width=0.25).spec()
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.33
    width: Multiplier = 0.5
    depthwise: bool = False
    activation: str = "silu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages, one per row of the table."""
        act = self.activation
        conv, block = (SeparableNormAct, SeparableCSP) if self.depthwise else (ConvNormAct, CSP)
        x = Focus(scaled_channels(64, self.width), activation=act, name="stem")(images)
        maps = {"p1": x}
        for number, (channels, repeats) in enumerate(
            ((128, 3), (256, 9), (512, 9), (1024, 3)), start=2
        ):
            filters = scaled_channels(channels, self.width)
            units = scaled_repeats(repeats, self.depth)
            x = conv(filters, 3, strides=2, activation=act, name=f"down{number}")(x)
            if number == 5:
                x = SPP(filters, activation=act, name="pool")(x)
            stage = block(
                filters, units, shortcut=number < 5, activation=act, name=f"stage{number}"
            )
            x = maps[f"p{number}"] = stage(x)
        return maps
