"""`PassOn`: the decoder that changes nothing."""

from __future__ import annotations

from visiongarden.parts import Decoder
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class PassOn(Decoder):
    """Hands feature maps on as they came: for heads that follow the backbone directly.

    Attributes:
        levels: those that are handed on.
    """

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """The same maps."""
        return {level: features[level] for level in self.levels}
