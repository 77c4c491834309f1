"""Drawing of a model as boxes and arrows on one self-contained HTML page."""

from visiongarden.inspect.drawing.boxes import Box, boxes, every_box
from visiongarden.inspect.drawing.page import page

__all__ = ["Box", "boxes", "every_box", "page"]
