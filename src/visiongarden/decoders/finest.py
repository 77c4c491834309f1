"""`FinestDecoder`: base class of the decoders that merge all levels into the finest one."""

from __future__ import annotations

from visiongarden.parts import Decoder
from visiongarden.types import FeatureMaps


class FinestDecoder(Decoder):
    """Base class of decoders that return only the finest level, merged with the coarser ones.

    Attributes:
        levels: levels that are required; the finest one is returned.
    """

    levels: tuple[str, ...] = ("p2", "p3", "p4", "p5")

    @property
    def output_levels(self) -> tuple[str, ...]:
        """The finest level."""
        return self.levels[:1]

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the graph from the required levels to the finest one."""
        raise NotImplementedError(f"{type(self).__name__} must implement wire()")
