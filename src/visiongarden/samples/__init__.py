"""Operate on images and their annotations with NumPy and OpenCV; imports no backend."""

from visiongarden.samples.annotations import Annotations
from visiongarden.samples.batch import Batch, BatchInfo
from visiongarden.samples.boxes import Boxes
from visiongarden.samples.field import Field
from visiongarden.samples.instances import Instances
from visiongarden.samples.keypoints import Keypoints
from visiongarden.samples.mask_field import Masks
from visiongarden.samples.rotated_boxes import RotatedBoxes
from visiongarden.samples.sample import ImageInfo, Sample

__all__ = [
    "Annotations",
    "Batch",
    "BatchInfo",
    "Boxes",
    "Field",
    "ImageInfo",
    "Instances",
    "Keypoints",
    "Masks",
    "RotatedBoxes",
    "Sample",
]
