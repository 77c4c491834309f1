"""`PassOn`: a decoder that returns its inputs unchanged."""

from __future__ import annotations

from visiongarden.parts import Decoder
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class PassOn(Decoder):
    """Decoder that returns the feature maps unchanged, for heads that follow a backbone directly.

    Attributes:
        levels: levels that are returned.

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.PassOn(levels=("p5",)).spec(backbone.spec())
        FeatureSpec(p5: 256 ch /32)
    """

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Return the feature maps of `levels`."""
        return {level: features[level] for level in self.levels}
