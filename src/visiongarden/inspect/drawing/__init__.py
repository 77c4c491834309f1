"""Drawing of a model as boxes and arrows on one self-contained HTML page."""

from visiongarden.inspect.drawing.box_shapes import Box, boxes, every_box
from visiongarden.inspect.drawing.html_page import page

__all__ = ["Box", "boxes", "every_box", "page"]
