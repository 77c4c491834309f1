"""Augment training images together with their boxes, polygons and masks."""

from visiongarden.transforms.affine import Affine
from visiongarden.transforms.albumentations_adapter import Albumentations
from visiongarden.transforms.augmentation import Augmentation
from visiongarden.transforms.auto_augment import AutoAugment
from visiongarden.transforms.center_crop import CenterCrop
from visiongarden.transforms.classification_augmentation import ClassificationAugmentation
from visiongarden.transforms.color import hsv
from visiongarden.transforms.color_jitter import ColorJitter
from visiongarden.transforms.crop import random_crop
from visiongarden.transforms.cut_mix import CutMix
from visiongarden.transforms.flips import flip
from visiongarden.transforms.function import Function
from visiongarden.transforms.gaussian_blur import GaussianBlur
from visiongarden.transforms.gaussian_noise import GaussianNoise
from visiongarden.transforms.grayscale import Grayscale
from visiongarden.transforms.horizontal_flip import HorizontalFlip
from visiongarden.transforms.hsv_shift import HSV
from visiongarden.transforms.jpeg_compression import JPEGCompression
from visiongarden.transforms.letterbox import Letterbox
from visiongarden.transforms.mix import copy_paste, cutout, mixup
from visiongarden.transforms.mix_up import MixUp
from visiongarden.transforms.mosaic_layout import Mosaic
from visiongarden.transforms.motion_blur import MotionBlur
from visiongarden.transforms.object_paste import CopyPaste
from visiongarden.transforms.perspective import Perspective
from visiongarden.transforms.photometric import ImageTransform
from visiongarden.transforms.pipeline import Pipeline
from visiongarden.transforms.rand_augment import random_operations
from visiongarden.transforms.randaugment import RandAugment
from visiongarden.transforms.random_erasing import RandomErasing
from visiongarden.transforms.random_part import RandomCrop
from visiongarden.transforms.random_resized_crop import RandomResizedCrop
from visiongarden.transforms.resizing import Resize
from visiongarden.transforms.rotate90 import Rotate90
from visiongarden.transforms.scene import mosaic, single
from visiongarden.transforms.segmentation_augmentation import SegmentationAugmentation
from visiongarden.transforms.tile import Tile, compose
from visiongarden.transforms.transform import Context, Layout, Policy, Transform, Warp, size_of
from visiongarden.transforms.vary import Vary
from visiongarden.transforms.vertical_flip import VerticalFlip
from visiongarden.transforms.with_mask import view, warp_with_mask

__all__ = [
    "HSV",
    "Affine",
    "Albumentations",
    "Augmentation",
    "AutoAugment",
    "CenterCrop",
    "ClassificationAugmentation",
    "ColorJitter",
    "Context",
    "CopyPaste",
    "CutMix",
    "Function",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "ImageTransform",
    "JPEGCompression",
    "Layout",
    "Letterbox",
    "MixUp",
    "Mosaic",
    "MotionBlur",
    "Perspective",
    "Pipeline",
    "Policy",
    "RandAugment",
    "RandomCrop",
    "RandomErasing",
    "RandomResizedCrop",
    "Resize",
    "Rotate90",
    "SegmentationAugmentation",
    "Tile",
    "Transform",
    "Vary",
    "VerticalFlip",
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
    "size_of",
    "view",
    "warp_with_mask",
]
