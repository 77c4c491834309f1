"""Data: read -> decode -> augment -> batch. Starts no backend."""

from visiongarden.data.augment import Augmentation
from visiongarden.data.check import check
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.decode import decode, image_size, letterbox
from visiongarden.data.loader import Loader
from visiongarden.data.read import FORMATS, read
from visiongarden.data.scenes import make_scenes

__all__ = [
    "FORMATS",
    "Augmentation",
    "DetectionDataset",
    "Loader",
    "check",
    "decode",
    "image_size",
    "letterbox",
    "make_scenes",
    "read",
]
