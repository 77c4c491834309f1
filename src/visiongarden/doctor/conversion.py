"""Convert a dataset to another format for the same type of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visiongarden.data.readers import FORMATS, opened, read, splits_of
from visiongarden.data.writers.examples import Lost
from visiongarden.data.writers.formats import WRITERS
from visiongarden.data.writers.read_back import read_back
from visiongarden.errors import UserError, nearest, option
from visiongarden.storage import atomic_folder

TARGETS = tuple(WRITERS)
_LABELS = {"coco": "boxes", "folders": "classes of whole images", "masks": "classes of pixels"}


def convert(
    source: str | Path,
    target: str | Path,
    to: str,
    format: str = "auto",
    invalid_boxes: str = "error",
    one_based: bool = False,
) -> Lost:
    """Write all splits of a dataset in another format, including the images.

    Image files are copied unchanged. Boxes keep their float32 pixel values; YOLO's fractions have
    nine digits, an error below a thousandth of a pixel for sides of up to a million pixels. The
    copy is read back and compared before its folder gets its name.

    Annotations that the target format cannot store are returned. VOC and CSV store no polygons.
    Only COCO and ArrayRecord store crowds, areas and unknown keys. YOLO joins the polygons of a
    mask by bridges of zero width, and stores keypoints if all objects have the same number.

    Class folders are converted to class folders ("folders"), and mask folders to mask folders
    ("masks"): from an archive, from another layout, or from a dataset that a hash splits to one
    folder for each split.

    Args:
        source: folder, file or archive of a dataset in any format.
        target: folder to create; it appears when it is complete.
        to: format of the copy: "coco", "yolo", "voc", "csv" or "arrayrecord" for boxes, "folders"
            for classes, "masks" for masks.
        format: format of the source; "auto" detects it.
        invalid_boxes: as in `read`.
        one_based: as in `read`; the copy counts pixels from 0.

    Returns:
        One line for each annotation that the format cannot store; `summary()` counts them.

    Raises:
        UserError: the format is unknown or for other labels, the target exists, or the hash leaves
            a class of "folders" without a training image.
        DataError: the source is invalid, or the copy differs when it is read back.
    """
    if to not in WRITERS:
        raise UserError(f"unknown format {to!r}", fix=nearest(to, TARGETS))
    root, source_format = opened(source, format)
    _refuse_other_labels(source, source_format, to)
    datasets = {
        split: read(source, source_format, split, invalid_boxes=invalid_boxes, one_based=one_based)
        for split in splits_of(root, source_format)
    }
    _refuse_untrained(source, datasets, to)
    filled = {split: dataset for split, dataset in datasets.items() if len(dataset)}
    if not filled:
        raise UserError(f"{source} has no images to convert")
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
            f"{source} cannot be converted to {to}",
            rule=f"{_LABELS[possible[0]]} can be written as {', '.join(possible)}",
            received=f"format {format}",
            fix=option("to", possible[0]),
        )


def _refuse_untrained(source: str | Path, datasets: Mapping[str, Any], to: str) -> None:
    """Refuse a copy with a class that has no training image, because `read` would refuse it too.

    The hash that splits class folders can put all images of a small class into "val".
    """
    if to != "folders" or "train" not in datasets:
        return
    trained = set(datasets["train"].classes)
    for split, dataset in datasets.items():
        missing = sorted({dataset.class_map.names[i] for i in set(dataset.classes) - trained})
        if missing:
            raise UserError(
                f"{source}: all images of {', '.join(missing)} are in {split}",
                rule="train needs at least one image of each class",
                fix="create the folders train/ and val/, or add images of these classes",
            )


def in_one_step(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a draft folder and rename it to `target`, which thus is never incomplete.

    Args:
        target: folder to create.
        fill: function that writes into the draft folder.

    Raises:
        UserError: the target exists already.
    """
    if target.exists():
        raise UserError(f"{target} exists already", rule="a new folder", fix="choose another name")
    with atomic_folder(target) as draft:
        fill(draft)
