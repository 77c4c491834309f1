"""Augmentation: image, boxes and outlines change together."""

from visiongarden.data.augment.augmentation import Augmentation
from visiongarden.data.augment.colour import hsv
from visiongarden.data.augment.flip import flip
from visiongarden.data.augment.mix import copy_paste, cutout, mixup
from visiongarden.data.augment.scene import mosaic, single
from visiongarden.data.augment.tile import Tile, compose
from visiongarden.data.augment.vary import Vary

__all__ = [
    "Augmentation",
    "Tile",
    "Vary",
    "compose",
    "copy_paste",
    "cutout",
    "flip",
    "hsv",
    "mixup",
    "mosaic",
    "single",
]
