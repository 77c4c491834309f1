"""Transforms of training images together with their annotations, applied as an ordered list."""

from visiongarden.transforms.affine import Affine
from visiongarden.transforms.albumentations_adapter import Albumentations
from visiongarden.transforms.auto_augment import AutoAugment
from visiongarden.transforms.center_crop import CenterCrop
from visiongarden.transforms.color_jitter import ColorJitter
from visiongarden.transforms.copy_paste import CopyPaste
from visiongarden.transforms.cut_mix import CutMix
from visiongarden.transforms.function import Function
from visiongarden.transforms.gaussian_blur import GaussianBlur
from visiongarden.transforms.gaussian_noise import GaussianNoise
from visiongarden.transforms.grayscale import Grayscale
from visiongarden.transforms.horizontal_flip import HorizontalFlip
from visiongarden.transforms.hsv import HSV
from visiongarden.transforms.jpeg_compression import JPEGCompression
from visiongarden.transforms.letterbox import Letterbox
from visiongarden.transforms.mix_up import MixUp
from visiongarden.transforms.mosaic import Mosaic
from visiongarden.transforms.motion_blur import MotionBlur
from visiongarden.transforms.perspective import Perspective
from visiongarden.transforms.photometric import ImageTransform
from visiongarden.transforms.pipeline import Pipeline
from visiongarden.transforms.rand_augment import RandAugment
from visiongarden.transforms.random_crop import RandomCrop
from visiongarden.transforms.random_erasing import RandomErasing
from visiongarden.transforms.random_resized_crop import RandomResizedCrop
from visiongarden.transforms.resize import Resize
from visiongarden.transforms.resizing import Resizing
from visiongarden.transforms.rotate90 import Rotate90
from visiongarden.transforms.transform import Context, Layout, Policy, Transform, Warp, size_of
from visiongarden.transforms.vertical_flip import VerticalFlip

__all__ = [
    "HSV",
    "Affine",
    "Albumentations",
    "AutoAugment",
    "CenterCrop",
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
    "Resizing",
    "Rotate90",
    "Transform",
    "VerticalFlip",
    "Warp",
    "size_of",
]
