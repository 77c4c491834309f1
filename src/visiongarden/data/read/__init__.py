"""Readers: COCO, YOLO, VOC, CSV, ArrayRecord, sources, class folders, mask folders -> data sets."""

from visiongarden.data.read.read import (
    EVERY_FORMAT,
    FORMATS,
    AnyDataset,
    gather,
    opened,
    read,
    read_any,
    read_folders,
    read_masks,
    refuse_faults,
    splits_of,
)
from visiongarden.data.read.source import from_source

__all__ = [
    "EVERY_FORMAT",
    "FORMATS",
    "AnyDataset",
    "from_source",
    "gather",
    "opened",
    "read",
    "read_any",
    "read_folders",
    "read_masks",
    "refuse_faults",
    "splits_of",
]
