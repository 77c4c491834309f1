"""`FinestDecoder`: base of the decoders that gather all they know on one level."""

from __future__ import annotations

from visiongarden.parts import Decoder
from visiongarden.types import FeatureMaps


class FinestDecoder(Decoder):
    """Feature maps -> the finest of them alone, with what the others know.

    Attributes:
        levels: the levels it wants; the finest is given on.
    """

    levels: tuple[str, ...] = ("p2", "p3", "p4", "p5")

    @property
    def gives(self) -> tuple[str, ...]:
        """The finest level."""
        return self.levels[:1]

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Draws the graph from the levels wanted to the finest."""
        raise NotImplementedError(f"{type(self).__name__} has no wire(); write one")
