"""Images of a YOLO split and their label files: `images/…` beside `labels/…`, or image lists."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from visiongarden.data.error_list import ErrorList
from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import CLASSES, images_in, no_split, read_text, there
from visiongarden.data.readers.image_search import end_inside
from visiongarden.data.readers.yolo_yaml import Layout
from visiongarden.errors import DataError
from visiongarden.storage.place import Place

Pair = tuple[Place, Place | None]
"""An image and its label file; None if it has no label file."""

_MAX_SEARCHED = 10_000
"""Maximum number of folders that are searched for label files if none is at its usual location."""


def pairs_of(layout: Layout, split: str, errors: ErrorList) -> list[Pair]:
    """Return the images of a split, each with its label file.

    Raises:
        DataError: The split does not exist, or a file or folder named in data.yaml does not.
    """
    entries = layout.entries(split)
    if not entries:
        raise no_split(layout.file, split, layout.splits())
    found: list[Pair] = []
    for entry in entries:
        found += _listed(layout, entry, errors)
    for image, times in Counter(image for image, _ in found).items():
        if times > 1:
            errors.add(layout.file, f"{image} appears {times} times in {split}", "listed-twice")
    found = [pair for pair in found if errors.includes(pair[0])]
    errors.unlabeled += [str(image) for image, labels in found if labels is None]
    if found and len(errors.unlabeled) == len(found):
        errors.searched = _search(layout, [image for image, _ in found])
    return found


def _places(layout: Layout, entry: str) -> list[Place]:
    """Return the possible locations of a folder or list, the most likely first."""
    base = there(layout.root, str(layout.data.get("path") or "."))
    inner = entry.replace("\\", "/")
    # Roboflow writes ../train/images where the folder is train/images beside data.yaml.
    while inner.startswith("../"):
        inner = inner.removeprefix("../")
    return [there(base, entry), there(layout.root, entry), there(layout.root, inner)]


def has_split(layout: Layout, split: str) -> bool:
    """Return whether a folder or list of a split exists."""
    return any(_found(_places(layout, entry)) is not None for entry in layout.entries(split))


def _found(places: Iterable[Place]) -> Place | None:
    return next((place for place in places if place.is_dir() or _is_list(place)), None)


def _is_list(place: Place) -> bool:
    return place.is_file() and place.suffix == ".txt"


def _listed(layout: Layout, entry: str, errors: ErrorList) -> list[Pair]:
    places = _places(layout, entry)
    place = _found(places)
    if place is None:
        end = _existing_end(layout.root, entry)
        raise DataError(
            f"{layout.file}: {places[0]} does not exist",
            rule="a folder, or a .txt list of images",
            fix=f"in {layout.file.name}, replace {entry} by {end}" if end else None,
        )
    if place.is_dir():
        return _in_folder(place, errors)
    images = [_in_list(layout, place, line) for line in _lines(place)]
    labels = [labels_of(image.parent) / f"{image.stem}.txt" for image in images]
    return [
        (image, label if label.exists() else None)
        for image, label in zip(images, labels, strict=True)
    ]


def _lines(file: Place) -> list[str]:
    return [line.strip() for line in read_text(file).split("\n") if line.strip()]


def _in_list(layout: Layout, file: Place, line: str) -> Place:
    """Return the location of an image named in a list.

    The path may be relative to the list, or to the same folders as the paths in data.yaml.
    """
    first, *others = [there(file.parent, line), *_places(layout, line)]
    if first.is_file():
        return first
    there_is = next((place for place in others if place.is_file()), None)
    return there_is or end_inside(line, [file.parent, layout.root], layout.root) or first


def _existing_end(root: Place, entry: str) -> str:
    """Return the longest suffix of a path that exists beside data.yaml; "" if none does."""
    parts = [part for part in PurePosixPath(entry.replace("\\", "/")).parts if part != ".."]
    ends = ["/".join(parts[i:]) for i in range(1, len(parts))]
    return next((end for end in ends if (root / end).exists()), "")


def _in_folder(place: Place, errors: ErrorList) -> list[Pair]:
    """Return the images of a folder and its subfolders; label files without an image are errors."""
    found: list[Pair] = []
    for folder in _folders(place):
        images = images_in(folder)
        labels = labels_of(folder)
        texts = set(names_in(labels, ".txt"))
        wanted = {f"{stem}.txt" for stem in images}
        found += [
            (image, labels / f"{stem}.txt" if f"{stem}.txt" in texts else None)
            for stem, image in images.items()
        ]
        # classes.txt is a list of names, and a text file beside the images may contain anything.
        for name in sorted(texts - wanted - {CLASSES}) if labels != folder else []:
            errors.add(labels / name, "the label file has no image", "image")
    return found


def _folders(place: Place) -> list[Place]:
    """Return a folder and its subfolders that may contain images, sorted."""
    inside = [folder for folder in _walked(place) if folder.name != "labels" and folder != place]
    return [place, *sorted(inside)]


def _walked(place: Place) -> list[Any]:
    if isinstance(place, Path):
        return [Path(top) for top, _, _ in os.walk(place)]
    return [place, *(item for item in place.rglob("*") if item.is_dir())]


def labels_of(folder: Place) -> Place:
    """Return the folder of the label files that belong to the images of a folder.

    The last `images` in the path is replaced by `labels`; without one, it is the folder itself.
    """
    parts = list(folder.parts)
    # From the end, because an outer folder may be named `images` too.
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            return Path(*parts) if isinstance(folder, Path) else folder.with_parts(parts)
    return folder


def _search(layout: Layout, images: list[Place]) -> str:
    """Describe where label files were expected, and where files with matching names exist."""
    stems = {image.stem for image in images}
    folders = list(dict.fromkeys(labels_of(image.parent) for image in images))
    looked = ", ".join(map(str, folders[:3])) + (" …" if len(folders) > 3 else "")
    found = []
    for folder in _walked(layout.root)[:_MAX_SEARCHED]:
        named = [
            name
            for name in names_in(folder)
            if name.lower().endswith(".txt")
            and name[:-4] in stems
            and not (folder in folders and name.endswith(".txt"))
        ]
        if named:
            found.append(f"{folder} ({len(named)} files, such as {named[0]})")
    text = "; ".join(found[:3]) + (" …" if len(found) > 3 else "")
    return f"label files were expected in {looked}; " + (
        f"unread files with matching names: {text}" if found else "no other folder has any"
    )
