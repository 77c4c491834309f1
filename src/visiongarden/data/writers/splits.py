"""Functions that all writers share: one class map for all splits, and writing files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.build import CLASSES
from visiongarden.data.rows import NO_SCHEME, KeypointScheme
from visiongarden.errors import DataError, UserError
from visiongarden.storage import path_inside
from visiongarden.terminal import printable
from visiongarden.types import ClassMap, LabelMap

T = TypeVar("T")


def one_map(splits: Mapping[str, Any]) -> ClassMap:
    """Return the class map of all splits.

    Raises:
        UserError: The splits have different class names.
    """
    maps = {dataset.class_map.names: dataset.class_map for dataset in splits.values()}
    if len(maps) > 1:
        raise UserError(
            "the splits have different classes", received="; ".join(map(str, maps))[:300]
        )
    return next(iter(maps.values()))


def one_scheme(splits: Mapping[str, Dataset]) -> KeypointScheme:
    """Return the meaning of the keypoints of all splits that have any.

    Raises:
        UserError: The splits have different names, pairs or edges.
    """
    found = {dataset.scheme for dataset in splits.values() if "keypoints" in dataset.fields}
    return _one(found, "keypoints") if found else NO_SCHEME


def one_label_map(splits: Mapping[str, Dataset]) -> LabelMap | None:
    """Return the meaning of the labels of all splits; None if they are the classes.

    Raises:
        UserError: The splits have different names or units.
    """
    return _one({dataset.label_map for dataset in splits.values()}, "labels")


def _one(found: set[T], what: str) -> T:
    if len(found) > 1:
        raise UserError(
            f"the splits have different {what}",
            rule=f"the same {what} in all splits",
            received="; ".join(map(str, found))[:300],
        )
    return found.pop()


def write_classes(names: Sequence[str], folder: Path) -> None:
    """Write `classes.txt`: the class names in their order, one per line.

    Raises:
        UserError: A name cannot be stored on one line.
    """
    if any("\n" in name or name != name.strip() or name != printable(name) for name in names):
        raise UserError(
            "a class name cannot be stored on one line",
            rule="no surrounding spaces, no line breaks or control characters",
        )
    write_file(folder, CLASSES, content="".join(f"{name}\n" for name in names))


def make_folder(folder: Path, *names: str) -> Path:
    """Create a folder inside the dataset, with its parents.

    Raises:
        DataError: A name is not valid, or the path leads out of the dataset.
    """
    path = path_inside(folder, *names, what=f"{'/'.join(names)!r:.100} in the dataset")
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_file(folder: Path, *names: str, content: bytes | str) -> None:
    """Write a file inside the dataset; its names may come from the dataset that was read.

    Raises:
        DataError: A name is not valid, the path leads out of the dataset, or the file exists.
    """
    path = path_inside(folder, *names, what=f"{'/'.join(names)!r:.100} in the dataset")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
    except FileExistsError:
        raise DataError(
            f"two files of the dataset would be written as {'/'.join(names)}",
            rule="a unique name for each file",
            fix="rename one of them in the dataset",
        ) from None


def parts_of(split: str) -> tuple[str, ...]:
    """Return the path components of a split's folder; none for a dataset without splits."""
    return (split,) if split else ()
