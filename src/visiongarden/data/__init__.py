"""Data: read -> decode -> augment -> batch. Starts no backend."""

from visiongarden.data.augment import (
    Augmentation,
    ClassificationAugmentation,
    SegmentationAugmentation,
)
from visiongarden.data.check import check
from visiongarden.data.classification_loader import ClassificationLoader
from visiongarden.data.copies import Prints, leaked
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.decode import cover, decode, letterbox
from visiongarden.data.fingerprint import changes, fingerprint
from visiongarden.data.header import image_size
from visiongarden.data.labelled_images import ClassificationDataset
from visiongarden.data.loader import Loader
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.pixels import ValueRange, to_pixels
from visiongarden.data.read import FORMATS, from_source, read, read_folders, read_masks
from visiongarden.data.scenes import make_mask_scenes, make_scenes
from visiongarden.data.segmentation_loader import SegmentationLoader
from visiongarden.data.write import convert

__all__ = [
    "FORMATS",
    "Augmentation",
    "ClassificationAugmentation",
    "ClassificationDataset",
    "ClassificationLoader",
    "DetectionDataset",
    "Loader",
    "Prints",
    "SegmentationAugmentation",
    "SegmentationDataset",
    "SegmentationLoader",
    "ValueRange",
    "changes",
    "check",
    "convert",
    "cover",
    "decode",
    "fingerprint",
    "from_source",
    "image_size",
    "leaked",
    "letterbox",
    "make_mask_scenes",
    "make_scenes",
    "read",
    "read_folders",
    "read_masks",
    "to_pixels",
]
