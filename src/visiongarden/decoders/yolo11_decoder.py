"""The decoder of YOLO11's published architecture table."""

from __future__ import annotations

from visiongarden.blocks import C3k2
from visiongarden.decoders.paths import two_paths
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Channels, Multiplier
from visiongarden.parts.scaling import scaled_channels, scaled_repeats
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor, stride_of


@register
class YOLO11Decoder(Decoder):
    """YOLO11's decoder: path aggregation, top-down, then bottom-up, with C3k2 blocks.

    Before scaling, a level has 32 times its stride channels: p3 256, p4 512, p5 1024. Sizes of the
    family as in `YOLO11Backbone`.

    Attributes:
        depth: factor on the number of units in each block, which is 2.
        width: factor on the channels.
        max_channels: upper bound of the channels before scaling.
        nested: whether all blocks have CSP blocks as units; the last block of the coarsest level
            always has.
        activation: activation of all convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.YOLO11Decoder().spec(backbone.spec())
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.5
    width: Multiplier = 0.25
    max_channels: Channels = 1024
    nested: bool = False
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the path down from the coarsest level, then the path up from the finest."""
        act, repeats = self.activation, scaled_repeats(2, self.depth)
        widths = {
            level: scaled_channels(32 * stride_of(level), self.width, self.max_channels)
            for level in self.levels
        }

        def block(x: Tensor, level: str, name: str, nested: bool) -> Tensor:
            return C3k2(widths[level], repeats, nested, activation=act, name=name)(x)

        def shrink(x: Tensor, level: str) -> Tensor:
            return ConvNormAct(widths[level], 3, 2, activation=act, name=f"shrink_{level}")(x)

        return two_paths(
            features,
            self.levels,
            down=lambda x, level: block(x, level, f"down_{level}", self.nested),
            shrink=shrink,
            up=lambda x, level: block(
                x, level, f"up_{level}", self.nested or level == self.levels[-1]
            ),
        )
