"""Datasets: reading, decoding, augmentation and batching. Imports neither Keras nor a backend."""

from visiongarden.data.classification_loader import ClassificationLoader
from visiongarden.data.copies import Prints, leaked
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.decoding import decode
from visiongarden.data.fingerprints import changes, fingerprint
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.loader import Loader
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.pixels import ValueRange, to_pixels
from visiongarden.data.readers import FORMATS, from_source, read, read_folders, read_masks
from visiongarden.data.segmentation_loader import SegmentationLoader

__all__ = [
    "FORMATS",
    "ClassificationDataset",
    "ClassificationLoader",
    "DetectionDataset",
    "Loader",
    "Prints",
    "SegmentationDataset",
    "SegmentationLoader",
    "ValueRange",
    "changes",
    "decode",
    "fingerprint",
    "from_source",
    "leaked",
    "read",
    "read_folders",
    "read_masks",
    "to_pixels",
]
