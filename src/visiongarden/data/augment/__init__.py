"""Augmentation: image and boxes change together."""

from visiongarden.data.augment.affine import affine
from visiongarden.data.augment.augmentation import Augmentation
from visiongarden.data.augment.colour import hsv
from visiongarden.data.augment.flip import flip
from visiongarden.data.augment.mosaic import mosaic

__all__ = ["Augmentation", "affine", "flip", "hsv", "mosaic"]
