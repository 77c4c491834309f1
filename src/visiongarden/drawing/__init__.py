"""Draw annotations and results onto images."""

from visiongarden.drawing.annotations import grid
from visiongarden.drawing.display import to_display
from visiongarden.drawing.results import draw, draw_lines

__all__ = ["draw", "draw_lines", "grid", "to_display"]
