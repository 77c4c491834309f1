"""Locations of images that annotation files name, inside a dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from visiongarden.data.file_names import names_in
from visiongarden.storage.place import Place

_SUFFIXES = 8
"""Number of folders in front of a file name that are compared with those of the dataset."""

_SUBFOLDERS = 20
"""Largest number of folders of a dataset, of any names, in which an image is searched last."""


def folder_of(root: Place) -> Place:
    """Return the folder of a dataset whose root may be a file."""
    return root.parent if root.is_file() else root


def last_name(name: str) -> str:
    """Return the last component of a path written on any system."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def image_folders(near: Place, root: Place, split: str = "") -> list[Place]:
    """Return the folders in which images are searched, the most likely first.

    Args:
        near: Folder of the annotation file.
        root: Root of the dataset, a folder or file.
        split: Name of the split, which may be the name of a folder of images.
    """
    top = folder_of(root)
    folders = [near, near / "images", top, top / "images"]
    if split:
        folders += [top / split, top / "images" / split]
    return list(dict.fromkeys(folders))


def find_image(name: str, near: Place, root: Place, split: str = "") -> Place | None:
    r"""Return the location of an image inside a dataset; None if it does not exist.

    Folders in front of the name are those of the computer on which the labels were made: the
    longest end of the path that exists in the dataset counts. No path leaves the dataset.

    Args:
        name: Path in the annotation file; backslashes may separate folders.
        near: Folder of the annotation file.
        root: Root of the dataset, a folder or file.
        split: Name of the split, which may be the name of a folder of images.
    """
    try:
        if "\\" in name and "/" not in name and (near / name).is_file():
            return near / name
    except (OSError, ValueError):
        return None
    top = folder_of(root)
    return end_inside(name, image_folders(near, root, split), top) or _in_subfolder(name, top)


def _in_subfolder(name: str, top: Place) -> Place | None:
    """Return the image of a name in a folder of the dataset, if only one of them has it."""
    names = [each for each in names_in(top) if "." not in each]
    if len(names) > _SUBFOLDERS:
        return None
    places = [end_inside(name, [top / each], top) for each in names]
    found = [place for place in places if place is not None]
    return found[0] if len(found) == 1 else None


def end_inside(name: str, folders: Sequence[Place], top: Place) -> Place | None:
    r"""Return the file at the longest end of a path that exists in one of some folders, or None.

    Args:
        name: Path of any computer; backslashes may separate folders.
        folders: Folders in which the end is searched, the most likely first.
        top: Folder that no path leaves.
    """
    path = re.sub(r"^[A-Za-z]:", "", name).replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    try:
        for first in range(max(0, len(parts) - _SUFFIXES), len(parts)):
            for folder in folders:
                place = _inside(folder, parts[first:], top)
                if place is not None and place.is_file():
                    return place
    except (OSError, ValueError):  # a name that is too long, or has a null character
        return None
    return None


def _inside(folder: Place, parts: Sequence[str], top: Place) -> Place | None:
    """Return a path relative to a folder; None if it leaves the dataset."""
    place: Any = folder
    for part in parts:
        if part != "..":
            place = place / part
        elif place == top:
            return None
        else:
            place = place.parent
    return place
