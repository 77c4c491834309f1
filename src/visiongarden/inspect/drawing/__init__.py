"""The figure of a model as boxes and arrows, in one page that opens without a network."""

from visiongarden.inspect.drawing.boxes import Box, boxes, every_box
from visiongarden.inspect.drawing.page import page

__all__ = ["Box", "boxes", "every_box", "page"]
