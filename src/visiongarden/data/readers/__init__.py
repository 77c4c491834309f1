"""Readers of COCO, YOLO, VOC, CSV, ArrayRecord, record sources, class folders and mask folders."""

from visiongarden.data.readers.gathering import EVERY_FORMAT, FORMATS, AnyDataset, gather, splits_of
from visiongarden.data.readers.guess import opened
from visiongarden.data.readers.reading import read, read_boxes, read_folders, read_masks
from visiongarden.data.readers.source import from_source

__all__ = [
    "EVERY_FORMAT",
    "FORMATS",
    "AnyDataset",
    "from_source",
    "gather",
    "opened",
    "read",
    "read_boxes",
    "read_folders",
    "read_masks",
    "splits_of",
]
