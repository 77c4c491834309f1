"""`gather`: what is sound in one split of any format, and all that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults
from visiongarden.data.labelled_images import ClassificationDataset
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.place import Place
from visiongarden.data.read import array_record, coco, csv_table, folders, mask_folders, voc, yolo
from visiongarden.data.table import Table, located_in
from visiongarden.errors import DataError, UserError

READERS: dict[str, Any] = {
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "csv": csv_table,
    "arrayrecord": array_record,
    "folders": folders,
    "masks": mask_folders,
}
EVERY_FORMAT = tuple(READERS)
FORMATS = tuple(name for name in EVERY_FORMAT if name not in ("folders", "masks"))
"""Formats whose labels are boxes."""

AnyDataset = DetectionDataset | ClassificationDataset | SegmentationDataset


def splits_of(root: Place, format: str) -> list[str]:
    """Names of a data set's splits.

    Raises:
        DataError: what lists them cannot be read.
    """
    try:
        return list(READERS[format].splits(root))
    except OSError as error:
        raise unreadable(root, error) from error


def gather(
    root: Place,
    format: str,
    split: str,
    class_names: tuple[str, ...] | None = None,
    invalid_boxes: str = "error",
    one_based: bool = False,
    mend: bool = False,
    shift: int = 0,
) -> tuple[Any, Faults]:
    """What is sound in one split, and all that is not; reading refuses the latter.

    With `mend` boxes are cut at the border, and what is left out stands in `dropped`. `shift` is
    what boxes' class ids are too high by.

    Raises:
        DataError: the split cannot be read at all.
        UserError: an argument is not valid.
    """
    if class_names is not None and not class_names:
        raise UserError("class_names is empty", rule="at least one name, or None")
    faults = Faults(root, invalid_boxes, mend, shift)
    try:
        if format == "voc":
            found = voc.read(root, split, class_names, faults, one_based)
        else:
            found = READERS[format].read(root, split, class_names, faults)
    except OSError as error:  # may not be read, or a name longer than the file system allows
        raise unreadable(root, error) from error
    except DataError:
        raise
    except UserError as error:  # a class map that cannot be
        raise DataError(f"{root}: {error.what}", rule=error.rule) from error
    if format not in FORMATS:
        return found, faults
    located = array_record.located if format == "arrayrecord" else located_in(root)
    table = Table.of(found.examples, located)
    if _look_like_shares(table):
        faults.add(
            root,
            f"all {len(table.arrays['boxes'])} boxes of {split} lie in the first pixel: "
            "shares of the sides? boxes are pixels here",
            "shares",
        )
    return replace(found, examples=table), faults


def _look_like_shares(table: Table) -> bool:
    """Whether boxes that should be pixels are numbers from 0 to 1."""
    boxes, sizes = table.arrays["boxes"], table.arrays["sizes"]
    return len(boxes) >= 3 and bool(boxes.max() <= 1.001 and sizes.min() >= 16)


def unreadable(root: Place, error: OSError) -> DataError:
    """The error for what the system does not let be read."""
    return DataError(f"{root} cannot be read", received=str(error)[:200])
