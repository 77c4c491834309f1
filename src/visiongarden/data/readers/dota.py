"""Reader of DOTA: text files with the four corners, class and difficulty of rotated boxes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import images_in, read_text
from visiongarden.data.readers.geometry import numbers
from visiongarden.data.readers.image_search import folder_of
from visiongarden.data.readers.other_tools import tool_of
from visiongarden.data.readers.pictures import Picture, Shape, dataset_of
from visiongarden.data.readers.plain_values import whole
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_files import files_of, split_files
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.samples.rectangles import fitted
from visiongarden.storage.place import Place

_VERSIONS = ("labelTxt", "labelTxt-v1.0", "labelTxt-v1.5", "labelTxt-v2.0")
_INNER = (*_VERSIONS, *(f"{name}/labelTxt" for name in _VERSIONS), "labels", "annfiles")
_TRIED = 20
_HEAD = ("imagesource", "gsd")
_OWN = ("classes.txt", "train.txt", "val.txt", "test.txt", "readme.txt")
"""Text files beside labels that contain something else."""


@register
class DOTA(Reader):
    """DOTA: `labelTxt/*.txt` beside `images/`, also in folders `train`, `val` and `test`.

    Each line has the x and y of four corners in pixels, a class, and whether the object is
    difficult, which is kept as unknown key. Rotated boxes may reach beyond the image.

    Example:
        >>> DOTA().to_dict()
        {'type': 'DOTA'}
    """

    files: ClassVar[str] = "DOTA: labelTxt/*.txt beside images/"
    lists_classes: ClassVar[bool] = False
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes", "rotated"})

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is a folder `labelTxt`, 0.9 for other folders with such files."""
        tried = [file for group in _files(source, _TRIED).values() for file in group[:_TRIED]]
        found = [file for file in tried if tool_of(file) == "DOTA"]
        if not found:
            return 0.0
        return 0.95 if any("labelTxt" in str(file.parent) for file in found) else 0.9

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the folders `train`, `val` and `test`; "train" without them."""
        return tuple(_files(source))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        files = _files(source)
        wanted = files_of(source.root, files, split)
        pictures = [*_pictures(wanted, split, source, source.errors)]
        others = [
            picture
            for name, group in files.items()
            if name != split
            for picture in _pictures(group, name, source, ErrorList(""))
        ]
        return dataset_of(source, split, pictures, others)


def _files(source: Source, limit: int | None = None) -> dict[str, list[Place]]:
    found = split_files(source.root, (".txt",), _INNER, _is_label, limit)
    return found or split_files(source.root, (".txt",), ("", "images"), _is_label, limit)


def _is_label(file: Place) -> bool:
    return file.name.lower() not in _OWN


def _pictures(
    files: list[Place], split: str, source: Source, errors: ErrorList
) -> Iterator[Picture]:
    """Iterate over the images of label files, and over the images beside them without labels."""
    images: dict[str, Place] = {}
    for folder in dict.fromkeys(_image_folders(files, split, source)):
        images = images_in(folder) | images
    for file in files:
        image = images.pop(file.stem, None)
        if image is None:
            errors.add(file, f"the image {file.stem}.* does not exist", "image")
            continue
        try:
            yield _picture(file, image)
        except DataError as error:
            errors.add_error(error, "unreadable")
    for image in images.values():
        errors.unlabeled.append(str(image))
        yield Picture(str(image), image, image.name, path=image)


def _image_folders(files: list[Place], split: str, source: Source) -> Iterator[Place]:
    top = folder_of(source.root)
    for parent in dict.fromkeys(file.parent for file in files):
        folder = parent
        while folder != top:
            yield folder
            folder = folder.parent
            if (folder / "images").is_dir():
                yield from (folder / "images", folder / "images" / "images")
                yield folder / "images" / split
                break
        else:
            yield top


def _picture(file: Place, image: Place) -> Picture:
    picture = Picture(str(file), file, image.name, path=image)
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        head, colon, value = line.partition(":")
        if colon and head.strip().lower() in _HEAD:
            picture.extra[head.strip().lower()] = value.strip()
            continue
        picture.given += 1
        where = f"{file}:{number}"
        corners = numbers(words[:8])
        if corners is None or len(words) < 9:
            what = f"the line is {line.strip()!r:.80}; expected eight numbers, class, difficult"
            picture.add(where, what)
            continue
        # The class may contain spaces; the last word is 0, 1 or 2 if it is no part of it.
        rest = words[8:]
        difficult = whole(rest[-1]) if len(rest) > 1 else None
        name = " ".join(rest if difficult is None else rest[:-1])
        extra: dict[str, Any] = {"difficult": str(difficult)} if difficult else {}
        box = fitted(np.array(corners).reshape(1, 4, 2))[0].tolist()
        picture.shapes.append(Shape(where, name, box, extra=extra))
    return picture
