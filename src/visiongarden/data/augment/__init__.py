"""Augmentation: an image and what is known about it change together."""

from visiongarden.data.augment.affine import affine
from visiongarden.data.augment.augmentation import Augmentation
from visiongarden.data.augment.classification_augmentation import ClassificationAugmentation
from visiongarden.data.augment.colour import hsv
from visiongarden.data.augment.crop import random_crop
from visiongarden.data.augment.flip import flip
from visiongarden.data.augment.mix import cutmix, mixup
from visiongarden.data.augment.mosaic import mosaic
from visiongarden.data.augment.rand_augment import random_operations
from visiongarden.data.augment.segmentation_augmentation import SegmentationAugmentation
from visiongarden.data.augment.with_mask import view, warp_with_mask

__all__ = [
    "Augmentation",
    "ClassificationAugmentation",
    "SegmentationAugmentation",
    "affine",
    "cutmix",
    "flip",
    "hsv",
    "mixup",
    "mosaic",
    "random_crop",
    "random_operations",
    "view",
    "warp_with_mask",
]
