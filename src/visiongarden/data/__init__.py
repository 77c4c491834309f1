"""Datasets: reading, decoding and batching. Imports neither Keras nor a backend."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from visiongarden.data.channels import Channels, channels_of, check_channels
from visiongarden.data.copies import Prints, leaked
from visiongarden.data.dataset import Dataset
from visiongarden.data.decoding import decode
from visiongarden.data.fingerprints import changes, fingerprint
from visiongarden.data.layout import Layout
from visiongarden.data.loader import Loader
from visiongarden.data.pixels import ValueRange, to_pixels
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.data.readers import Reader, Source, from_source, read
from visiongarden.data.stored import decode_stored
from visiongarden.data.writers import Writer
from visiongarden.storage.header import image_size

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
    "Channels",
    "Dataset",
    "Layout",
    "Loader",
    "Preprocessing",
    "Prints",
    "Reader",
    "Source",
    "ValueRange",
    "Writer",
    "changes",
    "channels_of",
    "check",
    "check_channels",
    "convert",
    "decode",
    "decode_stored",
    "fingerprint",
    "from_source",
    "image_size",
    "leaked",
    "read",
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
