"""`convert`: a data set in one format -> the same in another."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.read import opened, read, splits_of
from visiongarden.data.write.formats import WRITERS, Lost
from visiongarden.errors import UserError, nearest

TARGETS = tuple(WRITERS)


def convert(
    source: str | Path,
    target: str | Path,
    to: str,
    format: str = "auto",
    invalid_boxes: str = "error",
) -> list[str]:
    """Writes all splits of a data set anew, images included, in another format.

    Image files are copied as they are. Boxes keep the value of their float32 pixels; YOLO's shares
    have nine digits, which is less than a thousandth of a pixel up to a million pixels a side. What
    a format has no place for is returned: VOC and CSV hold no outlines, and only COCO and
    ArrayRecord hold crowds; YOLO joins the rings of an outline by ways of no width.

    Args:
        source: the data set, of any format that `read` knows.
        target: a folder that is not there yet; it appears when it is complete.
        to: "coco", "yolo", "voc", "csv" or "arrayrecord".
        format: of the source, or "auto" to look.
        invalid_boxes: as of `read`.

    Returns:
        One line for each thing that the format could not hold.

    Raises:
        UserError: no such format, or there is something at the target.
        DataError: the source is not sound.
    """
    root, found = opened(source, format)
    datasets = {
        split: read(source, found, split, invalid_boxes=invalid_boxes)
        for split in splits_of(root, found)
    }
    return write({s: d for s, d in datasets.items() if len(d)}, target, to)


def write(splits: Mapping[str, DetectionDataset], target: str | Path, to: str) -> list[str]:
    """Writes splits into a folder; see `convert`."""
    if to not in WRITERS:
        raise UserError(f"unknown format {to!r}", fix=nearest(to, TARGETS))
    if not splits:
        raise UserError("there is no split to write")
    lost = Lost()
    in_one_step(Path(target), lambda folder: WRITERS[to](splits, folder, lost))
    return list(lost)


def in_one_step(target: Path, fill: Callable[[Path], None]) -> None:
    """Fills a folder beside `target`, then gives it that name: nobody sees half of it.

    Raises:
        UserError: there is something already.
    """
    if target.exists():
        raise UserError(f"{target} is there already", rule="a new folder", fix="name another")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        fill(draft)
        draft.chmod(0o755)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
