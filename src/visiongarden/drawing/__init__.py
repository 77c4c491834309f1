"""Draw annotations and results onto images."""

from visiongarden.drawing.annotations import grid
from visiongarden.drawing.display import to_display
from visiongarden.drawing.results import draw

__all__ = ["draw", "grid", "to_display"]
