"""Readers: COCO JSON, YOLO txt, Pascal VOC -> `DetectionDataset`."""

from visiongarden.data.read.read import FORMATS, read

__all__ = ["FORMATS", "read"]
