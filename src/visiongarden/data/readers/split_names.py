"""Usual names of splits, as folders and files have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from visiongarden.errors import DataError
from visiongarden.storage.place import Place

NAMES_OF: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names in lower case of each split."""

SPLIT_OF: Mapping[str, str] = {name: split for split, names in NAMES_OF.items() for name in names}
"""Split of each name."""


def one_per_split(
    root: Place, found: Iterable[tuple[str, Place]], what: str = "folders"
) -> dict[str, Place]:
    """Return the folder or file of each split.

    Args:
        root: Root of the dataset.
        found: Split and folder, for each folder.
        what: What is found, in errors.

    Raises:
        DataError: Two are those of one split, such as `val` and `valid`.
    """
    known: dict[str, Place] = {}
    for split, place in found:
        if split in known:
            raise DataError(
                f"{root} has two {what} for {split}: {known[split].name}, {place.name}",
                fix="keep one of them",
            )
        known[split] = place
    return known
