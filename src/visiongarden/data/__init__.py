"""Data: read -> decode -> augment -> batch. Starts no backend."""

from visiongarden.data.augment import Augmentation
from visiongarden.data.check import check
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.decode import decode, letterbox
from visiongarden.data.header import image_size
from visiongarden.data.loader import Loader
from visiongarden.data.read import FORMATS, from_source, read
from visiongarden.data.scenes import make_scenes
from visiongarden.data.write import convert

__all__ = [
    "FORMATS",
    "Augmentation",
    "DetectionDataset",
    "Loader",
    "check",
    "convert",
    "decode",
    "from_source",
    "image_size",
    "letterbox",
    "make_scenes",
    "read",
]
