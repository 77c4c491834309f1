"""Path aggregation: Liu et al. 2018 (arXiv 1803.01534), with C2f blocks and concatenation."""

from __future__ import annotations

import keras

from visiongarden.blocks import C2f
from visiongarden.decoders.paths import two_paths
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Channels, Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class PathAggregation(Decoder):
    """YOLOv8's decoder: path aggregation, top-down, then bottom-up, with C2f blocks.

    As in YOLOv8's published table: adjacent levels are concatenated and merged by a C2f block
    without shortcuts. Each level keeps its input channels unless `channels` is set.

    Attributes:
        depth: factor on the number of units in each block, which is 3.
        channels: channels of all levels; None keeps the channels of each level.
        activation: activation of all convolutions.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.PathAggregation().spec(backbone.spec())
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    depth: Multiplier = 0.33
    channels: Channels | None = None
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the path down from the coarsest level, then the path up from the finest."""
        widths = {level: self.channels or features[level].shape[-1] for level in self.levels}

        def down(x: Tensor, level: str) -> Tensor:
            return self._block(widths[level], f"down_{level}")(x)

        def shrink(x: Tensor, level: str) -> Tensor:
            name = f"shrink_{level}"
            return ConvNormAct(widths[level], 3, 2, activation=self.activation, name=name)(x)

        def up(x: Tensor, level: str) -> Tensor:
            return self._block(widths[level], f"up_{level}")(x)

        return two_paths(features, self.levels, down, shrink, up)

    def _block(self, filters: int, name: str) -> keras.Layer:
        units = max(round(3 * self.depth), 1)
        return C2f(filters, units, shortcut=False, activation=self.activation, name=name)
