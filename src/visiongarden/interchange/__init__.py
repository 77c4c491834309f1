"""Conversion of boxes, scores and classes to and from the formats of other libraries.

The functions take and return NumPy arrays. `Instances` has methods that call them, such as
`to_supervision` and `from_coco`. Whatever would be changed or lost silently on the way is an error:
a class outside the class map, a missing score, an unknown box format, a wrong shape.
"""

from visiongarden.interchange.box_formats import BOX_FORMATS, convert_boxes
from visiongarden.interchange.keras_boxes import from_keras, to_keras

__all__ = ["BOX_FORMATS", "convert_boxes", "from_keras", "to_keras"]
