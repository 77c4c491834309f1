"""The backbone of YOLOv10: Wang et al. 2024 (arXiv 2405.14458), section 3.2."""

from __future__ import annotations

from typing import Literal

from visiongarden.blocks import PSA, SPPF, C2f, C2fCIB, SCDown
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Channels, Multiplier
from visiongarden.parts.scaling import scaled_channels, scaled_repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class YOLOv10Backbone(Backbone):
    """YOLOv10's backbone: C2f blocks of 3-6-6-3 units, SPPF and attention at the end.

    From p4 on, downsampling is decoupled (`SCDown`). Sizes of the family (depth/width/max_channels,
    compact): n 0.33/0.25/1024, none; s 0.33/0.5/1024, p5 with large kernels; m 0.67/0.75/768, p5; b
    0.67/1/512, p5; l 1/1/512, p5; x 1/1.25/512, p4 and p5.

    Attributes:
        depth: factor on the number of units in each block.
        width: factor on the channels, which are 64 to 1024.
        max_channels: upper bound of the channels before scaling.
        compact: stages whose units are compact inverted blocks.
        large_kernel: whether the compact inverted blocks have a 7×7 depthwise convolution.
        activation: activation of all convolutions.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.YOLOv10Backbone().spec()
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.33
    width: Multiplier = 0.25
    max_channels: Channels = 1024
    compact: tuple[Literal["p2", "p3", "p4", "p5"], ...] = ()
    large_kernel: bool = False
    activation: str = "silu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages, one per row of the table."""
        act = self.activation
        x = ConvNormAct(self._channels(64), 3, strides=2, activation=act, name="stem")(images)
        maps = {"p1": x}
        for number, (channels, repeats) in enumerate(
            ((128, 3), (256, 6), (512, 6), (1024, 3)), start=2
        ):
            filters, units = self._channels(channels), scaled_repeats(repeats, self.depth)
            if number <= 3:
                x = ConvNormAct(filters, 3, strides=2, activation=act, name=f"down{number}")(x)
            else:
                x = SCDown(filters, act, name=f"down{number}")(x)
            if f"p{number}" in self.compact:
                stage = C2fCIB(
                    filters, units, self.large_kernel, activation=act, name=f"stage{number}"
                )
            else:
                stage = C2f(filters, units, activation=act, name=f"stage{number}")
            x = stage(x)
            if number == 5:
                x = SPPF(filters, activation=act, name="pool")(x)
                x = PSA(filters, activation=act, name="attention")(x)
            maps[f"p{number}"] = x
        return maps

    def _channels(self, channels: int) -> int:
        return scaled_channels(channels, self.width, self.max_channels)
