"""Feature pyramid network: Lin et al. 2016 (arXiv 1612.03144), figure 3."""

from __future__ import annotations

from visiongarden.layers import Convolution, Sum, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Channels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class FPN(Decoder):
    """Feature pyramid network: top-down sums of 1×1 lateral convolutions, then a 3×3 per level.

    Each level is its lateral convolution plus the upsampled coarser level. Convolutions have a bias
    and no activation, as in the paper.

    Attributes:
        channels: channels of all levels.
        levels: consecutive levels.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.FPN(channels=32).spec(backbone.spec())
        FeatureSpec(p3: 32 ch /8, p4: 32 ch /16, p5: 32 ch /32)
    """

    channels: Channels = 256

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the levels from the coarsest to the finest."""
        outputs: FeatureMaps = {}
        parent = None
        for level in reversed(self.levels):
            x = Convolution(self.channels, 1, name=f"lateral_{level}")(features[level])
            if parent is not None:
                up = Upsampling(2, name=f"up_{level}")(parent)
                x = Sum(name=f"sum_{level}")([x, up])
            parent = x
            outputs[level] = Convolution(self.channels, 3, name=f"out_{level}")(x)
        return {level: outputs[level] for level in self.levels}
