"""Drawing of a model as boxes and arrows: a self-contained HTML page, or an SVG file."""

from visiongarden.inspect.drawing.box_shapes import Box, boxes, every_box
from visiongarden.inspect.drawing.html_page import page
from visiongarden.inspect.drawing.standalone_svg import svg_file

__all__ = ["Box", "boxes", "every_box", "page", "svg_file"]
