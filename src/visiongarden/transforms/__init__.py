"""Augment training images together with their boxes, polygons and masks."""

from visiongarden.transforms.augmentation import Augmentation
from visiongarden.transforms.auto_augment import AutoAugment
from visiongarden.transforms.classification_augmentation import ClassificationAugmentation
from visiongarden.transforms.color import hsv
from visiongarden.transforms.color_jitter import ColorJitter
from visiongarden.transforms.crop import random_crop
from visiongarden.transforms.flips import flip
from visiongarden.transforms.function import Function
from visiongarden.transforms.gaussian_blur import GaussianBlur
from visiongarden.transforms.gaussian_noise import GaussianNoise
from visiongarden.transforms.grayscale import Grayscale
from visiongarden.transforms.hsv_shift import HSV
from visiongarden.transforms.jpeg_compression import JPEGCompression
from visiongarden.transforms.mix import copy_paste, cutout, mixup
from visiongarden.transforms.motion_blur import MotionBlur
from visiongarden.transforms.photometric import ImageTransform
from visiongarden.transforms.rand_augment import random_operations
from visiongarden.transforms.randaugment import RandAugment
from visiongarden.transforms.scene import mosaic, single
from visiongarden.transforms.segmentation_augmentation import SegmentationAugmentation
from visiongarden.transforms.tile import Tile, compose
from visiongarden.transforms.transform import Context, Policy, Transform, Warp
from visiongarden.transforms.vary import Vary
from visiongarden.transforms.with_mask import view, warp_with_mask

__all__ = [
    "HSV",
    "Augmentation",
    "AutoAugment",
    "ClassificationAugmentation",
    "ColorJitter",
    "Context",
    "Function",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "ImageTransform",
    "JPEGCompression",
    "MotionBlur",
    "Policy",
    "RandAugment",
    "SegmentationAugmentation",
    "Tile",
    "Transform",
    "Vary",
    "Warp",
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
