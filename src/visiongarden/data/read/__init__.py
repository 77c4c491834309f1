"""Readers: COCO, YOLO, VOC, CSV, ArrayRecord, sources, class folders, mask folders -> data sets."""

from visiongarden.data.read.folders import read_folders
from visiongarden.data.read.mask_folders import read_masks
from visiongarden.data.read.read import FORMATS, gather, opened, read, splits_of
from visiongarden.data.read.source import from_source

__all__ = [
    "FORMATS",
    "from_source",
    "gather",
    "opened",
    "read",
    "read_folders",
    "read_masks",
    "splits_of",
]
