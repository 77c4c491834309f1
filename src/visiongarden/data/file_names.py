"""Names of the files in folders, and which of them are images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from visiongarden.storage.place import Place

ARRAY = ".npy"
ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ARRAY}

_LISTED: ContextVar[dict[tuple[Place, tuple[str, ...]], list[str]] | None] = ContextVar(
    "listed", default=None
)


@contextmanager
def listed_once() -> Iterator[None]:
    """List each folder only once inside of the context, in which no file may change.

    Each reader looks into the same folders to recognize its files, and listing a folder of a
    hundred thousand images takes a tenth of a second.
    """
    token = _LISTED.set({})
    try:
        yield
    finally:
        _LISTED.reset(token)


def names_in(folder: Place, *suffixes: str) -> list[str]:
    """Return the sorted names of the entries of a folder; empty if the folder does not exist.

    Args:
        folder: the folder.
        suffixes: only names that end with one of them, such as ".csv"; none means all names.
    """
    known = _LISTED.get()
    if known is None:
        return _names_in(folder, suffixes)
    if (folder, suffixes) not in known:
        known[folder, suffixes] = _names_in(folder, suffixes)
    return known[folder, suffixes]


def _names_in(folder: Place, suffixes: tuple[str, ...]) -> list[str]:
    if suffixes:
        return [name for name in names_in(folder) if name.endswith(suffixes)]
    if not folder.is_dir():
        return []
    if isinstance(folder, Path):
        return sorted(os.listdir(folder))  # noqa: PTH208 (names alone, at a tenth of the cost)
    return [item.name for item in folder.iterdir()]


def image_names(names: Sequence[str], arrays: bool = True) -> list[str]:
    """Return those of the file names of one folder that are images.

    NumPy files are images only in a folder without other images: beside them they are caches,
    features or labels, as other tools write them.

    Args:
        names: names of the files.
        arrays: whether NumPy files can be images.

    Example:
        >>> image_names(["a.jpg", "a.npy", "a.txt"]), image_names(["a.npy", "a.txt"])
        (['a.jpg'], ['a.npy'])
    """
    pairs = [(name, os.path.splitext(name)[1].lower()) for name in names]  # noqa: PTH122
    found = [(name, ending) for name, ending in pairs if ending in ENDINGS]
    pictures = [name for name, ending in found if ending != ARRAY]
    if pictures or not arrays:
        return pictures
    return [name for name, _ in found]
