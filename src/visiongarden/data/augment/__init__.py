"""Augmentation: image, boxes and outlines change together."""

from visiongarden.data.augment.augmentation import Augmentation
from visiongarden.data.augment.classification_augmentation import ClassificationAugmentation
from visiongarden.data.augment.colour import hsv
from visiongarden.data.augment.crop import random_crop
from visiongarden.data.augment.flip import flip
from visiongarden.data.augment.mix import copy_paste, cutout, mixup
from visiongarden.data.augment.rand_augment import random_operations
from visiongarden.data.augment.scene import mosaic, single
from visiongarden.data.augment.segmentation_augmentation import SegmentationAugmentation
from visiongarden.data.augment.tile import Tile, compose
from visiongarden.data.augment.vary import Vary
from visiongarden.data.augment.with_mask import view, warp_with_mask

__all__ = [
    "Augmentation",
    "ClassificationAugmentation",
    "SegmentationAugmentation",
    "Tile",
    "Vary",
    "compose",
    "copy_paste",
    "cutout",
    "flip",
    "hsv",
    "mixup",
    "mosaic",
    "random_crop",
    "random_operations",
    "single",
    "view",
    "warp_with_mask",
]
