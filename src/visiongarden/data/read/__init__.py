"""Readers: COCO JSON, YOLO txt, Pascal VOC, CSV, ArrayRecord, sources -> `DetectionDataset`."""

from visiongarden.data.read.read import FORMATS, gather, opened, read, splits_of
from visiongarden.data.read.source import from_source

__all__ = ["FORMATS", "from_source", "gather", "opened", "read", "splits_of"]
