"""`gather`: read one split of any format, and collect its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.readers import (
    array_record,
    coco,
    csv_table,
    folders,
    mask_folders,
    voc,
    yolo,
)
from visiongarden.data.readers.build import by_hash
from visiongarden.data.readers.notes import notes_of
from visiongarden.data.table import Table, located_in
from visiongarden.errors import DataError, UserError
from visiongarden.storage.place import Place
from visiongarden.types import Example

READERS: dict[str, Any] = {
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "csv": csv_table,
    "arrayrecord": array_record,
    "folders": folders,
    "masks": mask_folders,
}
"""Reader module of each format.

A reader has `looks_like(path)`, which detects the format, `splits(path)`, and `read(path, split,
class_names, errors)`, which returns the valid labels of a split and adds all errors to `errors`; it
raises `DataError` only if the split cannot be read at all.
"""

CLOSER_CHECKS: dict[str, Callable[[Place], bool]] = {
    "coco": coco.is_surely,
    "yolo": yolo.is_surely,
    "csv": csv_table.is_surely,
    "masks": mask_folders.is_surely,
}
"""Closer check for ambiguous folders, by format; the other formats need none."""

_HASHED: dict[str, Callable[[Place], bool]] = {
    "csv": csv_table.is_split_by_hash,
    "folders": folders.is_split_by_hash,
    "masks": mask_folders.is_split_by_hash,
}
"""Whether the reader divides a dataset by a hash itself, by format; the other readers never do."""

EVERY_FORMAT = tuple(READERS)
PARTS = ("train", "val", "test")
"""Splits into which a dataset without splits is divided, in their usual order."""
FORMATS = tuple(name for name in EVERY_FORMAT if name not in ("folders", "masks"))
"""Formats of detection datasets."""

AnyDataset = DetectionDataset | ClassificationDataset | SegmentationDataset

MIN_DIVIDED = 10
"""Minimum number of images of a dataset that is divided; a tenth of fewer is less than one."""


def splits_of(root: Place, format: str) -> list[str]:
    """Return the names of a dataset's splits.

    A dataset whose only split is for training is divided 80/10/10 by a hash of the image names.

    Raises:
        DataError: The files that define the splits cannot be read.
    """
    try:
        names = list(READERS[format].splits(root))
        stems = _divided(root, format, names) if _may_be_divided(root, format) else []
    except OSError as error:
        raise unreadable(root, error) from error
    found = set(map(by_hash, stems))
    return [name for name in PARTS if name in found] if stems else names


def _divided(root: Place, format: str, splits: Sequence[str]) -> list[str]:
    """Return the image names of a dataset that is to be divided; empty if it has splits."""
    if len(splits) != 1 or splits[0] in PARTS[1:]:
        return []
    try:
        found = READERS[format].read(root, splits[0], None, ErrorList(root))
    except UserError:
        return []  # the error is reported when the split itself is read
    stems = [_stem(found.image_path(i)) for i in range(len(found))]
    return stems if len(stems) >= MIN_DIVIDED else []


def _may_be_divided(root: Place, format: str) -> bool:
    """Return whether a dataset may be divided by `gather`.

    ArrayRecord is excluded, as are datasets that their reader divides by a hash itself, and a root
    that is the file of a single split.
    """
    if format == "arrayrecord" or not (root.is_dir() or format == "yolo"):
        return False
    return not (format in _HASHED and _HASHED[format](root))


def _stem(place: Any) -> str:
    return str(place.stem)


def _whole(root: Place, format: str, split: str) -> str | None:
    """Return the only split of a dataset that is divided to obtain `split`; None for any other."""
    if split not in PARTS:
        return None
    try:
        if not _may_be_divided(root, format):
            return None
        splits = list(READERS[format].splits(root))
    except UserError:
        return None  # the reader reports it
    return splits[0] if _divided(root, format, splits) else None


def gather(
    root: Place,
    format: str,
    split: str,
    class_names: tuple[str, ...] | None = None,
    invalid_boxes: str = "error",
    one_based: bool = False,
    repair: bool = False,
    shift: int = 0,
) -> tuple[Any, ErrorList]:
    """Read the valid labels of one split and collect all errors, without raising them.

    Args:
        root: Root of the dataset.
        format: Name of the format.
        split: Name of the split.
        class_names: Class names to use instead of those in the files.
        invalid_boxes: "error", or "drop" to remove invalid boxes.
        one_based: Whether VOC corners count from 1.
        repair: Whether to clip boxes to the image and list in `dropped` what is removed.
        shift: Number that is subtracted from the class ids of boxes.

    Returns:
        The dataset of the split, and the collected errors.

    Raises:
        DataError: The split cannot be read at all.
        UserError: An argument is not valid.
    """
    if class_names is not None and not class_names:
        raise UserError("class_names is empty", rule="at least one class name, or None")
    errors = ErrorList(root, invalid_boxes, repair, shift)
    found: Any
    try:
        whole = _whole(root, format, split)
        if whole is not None:
            errors.includes = lambda path: by_hash(_stem(path)) == split
        if format == "voc":
            found = voc.read(root, whole or split, class_names, errors, one_based)
        else:
            found = READERS[format].read(root, whole or split, class_names, errors)
    except OSError as error:  # no permission, or a name too long for the file system
        raise unreadable(root, error) from error
    except DataError:
        raise
    except UserError as error:  # the files define an invalid class map
        raise DataError(f"{root}: {error.what}", rule=error.rule) from error
    if whole is not None:
        found = replace(found, split=split)
    if format not in FORMATS:
        kept = [i for i in range(len(found)) if errors.includes(found.image_path(i))]
        return (found.part(kept) if whole is not None else found), errors
    located = array_record.located if format == "arrayrecord" else located_in(root)
    table = Table.of(found.examples if repair else _with_labels(found.examples, errors), located)
    if _look_like_shares(table):
        errors.add(
            root,
            f"all {len(table.arrays['boxes'])} boxes of {split} are inside the first pixel; "
            "expected pixels, got what look like fractions of the image size",
            "shares",
        )
    errors.notes = list(notes_of(errors, split, len(table)))
    return replace(found, examples=table, notes=[note.what for note in errors.notes]), errors


def _with_labels(examples: Sequence[Example], errors: ErrorList) -> Sequence[Example]:
    """Remove images that lost all their boxes to `invalid_boxes="drop"`.

    They show objects, so training on them as background would be wrong.
    """
    if not (errors.drop and errors.emptied):
        return examples
    kept: list[Example] = []
    for example in examples:
        if str(example.path) in errors.emptied:
            errors.dropped.append(
                f"{example.path}: the image is removed, because all its boxes are"
            )
        else:
            kept.append(replace(example, image_id=len(kept)))
    return kept


def _look_like_shares(table: Table) -> bool:
    """Return whether boxes that should be in pixels are fractions from 0 to 1."""
    boxes, sizes = table.arrays["boxes"], table.arrays["sizes"]
    return len(boxes) >= 3 and bool(boxes.max() <= 1.001 and sizes.min() >= 16)


def unreadable(root: Place, error: OSError) -> DataError:
    """Return the error for a file or folder that the operating system cannot read."""
    return DataError(f"{root} cannot be read", received=str(error)[:200])
