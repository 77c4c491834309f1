"""`convert`: a data set in one format -> the same in another that has the same kind of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visiongarden.data.readers import FORMATS, opened, read_any, splits_of
from visiongarden.data.writers.examples import Lost
from visiongarden.data.writers.formats import WRITERS
from visiongarden.data.writers.read_back import read_back
from visiongarden.errors import UserError, nearest, option
from visiongarden.storage import atomic_folder

TARGETS = tuple(WRITERS)
_HOLDS = {"coco": "boxes", "folders": "classes of whole images", "masks": "classes of pixels"}


def convert(
    source: str | Path,
    target: str | Path,
    to: str,
    format: str = "auto",
    invalid_boxes: str = "error",
    one_based: bool = False,
) -> Lost:
    """Writes all splits of a data set anew, images included, in another format.

    Image files are copied as they are. Boxes keep the value of their float32 pixels; YOLO's shares
    have nine digits, which is less than a thousandth of a pixel up to a million pixels a side. What
    a format has no place for is returned: VOC and CSV hold no outlines, and only COCO and
    ArrayRecord hold crowds, areas and every key that they were given; YOLO joins the parts of a
    mask by lines of no width, and holds keypoints where all objects have as many of them. The copy
    is read back and compared before it gets its name.

    Class folders become class folders ("folders"), mask folders mask folders ("masks"): out of an
    archive, out of another layout, or with a folder for each split where a hash divides them.

    Args:
        source: the data set, of any format.
        target: a folder that is not there yet; it appears when it is complete.
        to: "coco", "yolo", "voc", "csv" or "arrayrecord" for boxes; "folders"; "masks".
        format: of the source, or "auto" to look.
        invalid_boxes: as of `read`.
        one_based: as of `read`: the copy counts from 0.

    Returns:
        One line for each thing that the format could not hold; `summary()` counts them.

    Raises:
        UserError: no such format, or there is something at the target.
        DataError: the source is not sound, or would not be read back the same.
    """
    if to not in WRITERS:
        raise UserError(f"unknown format {to!r}", fix=nearest(to, TARGETS))
    root, found = opened(source, format)
    _refuse_other_labels(source, found, to)
    datasets = {
        split: read_any(source, found, split, invalid_boxes, one_based)
        for split in splits_of(root, found)
    }
    _refuse_unlearned(source, datasets, to)
    filled = {split: dataset for split, dataset in datasets.items() if len(dataset)}
    if not filled:
        raise UserError("there is no split to write")
    lost = Lost()
    for split, dataset in filled.items():
        for line in dataset.dropped:
            lost.append(f"[{split}] left out: {line}")
            lost.groups.setdefault("an invalid box, left out on request", []).append(split)

    def fill(folder: Path) -> None:
        WRITERS[to](filled, folder, lost)
        read_back(to, folder, filled, lost)

    in_one_step(Path(target), fill)
    return lost


def _refuse_other_labels(source: str | Path, format: str, to: str) -> None:
    possible = (format,) if format not in FORMATS else FORMATS
    if to not in possible:
        raise UserError(
            f"{source} cannot become {to}",
            rule=f"{_HOLDS[possible[0]]} can be written as {', '.join(possible)}",
            received=f"format {format}",
            fix=option("to", possible[0]),
        )


def _refuse_unlearned(source: str | Path, datasets: Mapping[str, Any], to: str) -> None:
    """A hash may leave a small class without an image to train on; nobody could read that again."""
    if to != "folders" or "train" not in datasets:
        return
    learned = set(datasets["train"].classes)
    for split, dataset in datasets.items():
        missing = sorted({dataset.class_map.names[i] for i in set(dataset.classes) - learned})
        if missing:
            raise UserError(
                f"{source}: the images of {', '.join(missing)} all fall into {split}",
                rule="train needs an image of each class",
                fix="make the folders train/ and val/ by hand, or add images of these classes",
            )


def in_one_step(target: Path, fill: Callable[[Path], None]) -> None:
    """Fills a folder beside `target`, then gives it that name: nobody sees half of it.

    Raises:
        UserError: there is something already.
    """
    if target.exists():
        raise UserError(f"{target} is there already", rule="a new folder", fix="name another")
    with atomic_folder(target) as draft:
        fill(draft)
