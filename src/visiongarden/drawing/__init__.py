"""Draw annotations and results onto images."""

from visiongarden.drawing.annotations import grid
from visiongarden.drawing.results import draw

__all__ = ["draw", "grid"]
