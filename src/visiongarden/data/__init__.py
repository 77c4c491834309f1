"""Datasets: reading, decoding, augmentation and batching. Imports neither Keras nor a backend."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from visiongarden.data.channels import Channels, channels_of, check_channels
from visiongarden.data.classification_loader import ClassificationLoader
from visiongarden.data.copies import Prints, leaked
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.decoding import decode
from visiongarden.data.fingerprints import changes, fingerprint
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.layout import Layout
from visiongarden.data.loader import Loader
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.pixels import ValueRange, to_pixels
from visiongarden.data.readers import (
    FORMATS,
    from_source,
    read,
    read_boxes,
    read_folders,
    read_masks,
)
from visiongarden.data.segmentation_loader import SegmentationLoader
from visiongarden.data.stored import decode_stored

if TYPE_CHECKING:
    # Below, these names are found when they are first used: the package of the functions imports
    # this one.
    from collections.abc import Callable

    check: Callable[..., Any]
    convert: Callable[..., Any]
    show: Callable[..., Any]

_VERBS = {"check": "check_dataset", "convert": "convert_dataset", "show": "show_dataset"}
"""Functions of `visiongarden.doctor` under the names that they have here."""

__all__ = [
    "FORMATS",
    "Channels",
    "ClassificationDataset",
    "ClassificationLoader",
    "DetectionDataset",
    "Layout",
    "Loader",
    "Prints",
    "SegmentationDataset",
    "SegmentationLoader",
    "ValueRange",
    "changes",
    "channels_of",
    "check",
    "check_channels",
    "convert",
    "decode",
    "decode_stored",
    "fingerprint",
    "from_source",
    "leaked",
    "read",
    "read_boxes",
    "read_folders",
    "read_masks",
    "show",
    "to_pixels",
]


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # A function of the table above, imported when it is first used.
    value = getattr(importlib.import_module("visiongarden.doctor"), _VERBS[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
