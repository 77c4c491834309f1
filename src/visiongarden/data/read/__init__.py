"""Readers: COCO JSON, YOLO txt, Pascal VOC, class folders, mask folders -> data sets."""

from visiongarden.data.read.folders import read_folders
from visiongarden.data.read.mask_folders import read_masks
from visiongarden.data.read.read import FORMATS, read

__all__ = ["FORMATS", "read", "read_folders", "read_masks"]
