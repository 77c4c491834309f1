"""Division of a dataset without splits: 80/10/10 by a hash of the image names."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from visiongarden.data.dataset import as_dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import by_hash
from visiongarden.data.readers.calling import read_with, splits_with
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.errors import UserError
from visiongarden.storage.place import Place

PARTS = ("train", "val", "test")
"""Splits into which a dataset without splits is divided, in their usual order."""

MIN_DIVIDED = 10
"""Minimum number of images of a dataset that is divided; a tenth of fewer is less than one."""


def splits_of(root: Place, reader: Reader) -> list[str]:
    """Return the names of a dataset's splits.

    A dataset whose only split is for training is divided 80/10/10 by a hash of the image names.

    Raises:
        DataError: The files that define the splits cannot be read.
    """
    source = Source(root, None, ErrorList(root))
    names = splits_with(reader, source)
    found = set(map(by_hash, _divided(source, reader, names)))
    return [name for name in PARTS if name in found] or names


def whole_of(root: Place, reader: Reader, split: str) -> str | None:
    """Return the only split of a dataset that is divided to obtain `split`; None for any other."""
    if split not in PARTS:
        return None
    source = Source(root, None, ErrorList(root))
    try:
        names = splits_with(reader, source)
        return names[0] if _divided(source, reader, names) else None
    except UserError:
        return None  # the reader reports it when the split itself is read


def _divided(source: Source, reader: Reader, splits: list[str]) -> list[str]:
    """Return the image names of a dataset that is to be divided; empty if it has splits."""
    if len(splits) != 1 or splits[0] in PARTS[1:] or not reader.is_divisible(source):
        return []
    try:
        found = as_dataset(read_with(reader, source, splits[0]), splits[0])
    except UserError:
        return []  # the error is reported when the split itself is read
    stems = [stem_of(found.image_path(i)) for i in range(len(found))]
    return stems if len(stems) >= MIN_DIVIDED else []


def stem_of(place: Any) -> str:
    """Return the name of an image without folder and extension."""
    # The location of a reader of the user may be of any type.
    return PurePath(str(place)).stem
