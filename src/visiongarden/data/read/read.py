"""`read`: a data set of any format that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden.data import cache
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults
from visiongarden.data.place import Place, place
from visiongarden.data.read import array_record, coco, csv_table, voc, yolo
from visiongarden.data.table import Table, located_in
from visiongarden.errors import DataError, UserError, nearest

_READERS: dict[str, Any] = {
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "csv": csv_table,
    "arrayrecord": array_record,
}
FORMATS = tuple(_READERS)


def read(
    path: str | Path,
    format: str = "auto",
    split: str = "train",
    class_names: Sequence[str] | None = None,
    invalid_boxes: str = "error",
    one_based: bool = False,
) -> DetectionDataset:
    """Reads one split of a data set; looks at every label before it returns.

    - "coco": a JSON file, or a folder with `train.json` and `val.json`, or `annotations/*.json`;
      images beside it, in `images/`, `train/` or `train2017/`. `segmentation` may be polygons or
      run lengths.
    - "yolo": a `data.yaml` or its folder; `images/…` beside `labels/…`; an image without a label
      file has no object. A line is a box, or a class and the points of an outline.
    - "voc": `Annotations/`, `JPEGImages/`, `ImageSets/Main/*.txt`; or `annotations/` beside
      `images/`, split 80/10/10 by a hash of the file names. Classes are the names found, sorted.
    - "csv": `train.csv` and `val.csv`, or one file: path, x1, y1, x2, y2, class, with or without a
      header; one file without a column `split` is split as VOC is.
    - "arrayrecord": the folder that `convert` writes.

    `classes.txt` beside VOC or CSV annotations gives the order of the classes. A .zip, or a .tar
    that is not compressed, is read as the folder that it holds, without unpacking it.

    A box may stand over the border by one pixel and is cut there; images without a box are kept.
    Only files are read: nothing in them is run, and XML with a document type is refused. What was
    read of a large set is remembered until a file changes; see `visiongarden.data.cache`.

    Args:
        path: folder, file or archive.
        format: one of the above, or "auto" to look.
        split: "train", "val", "test", or what the data set calls it.
        class_names: the class map, instead of the one that the files give.
        invalid_boxes: "error", or "drop": leave out boxes outside the image or without area, and
            list them in `dropped`.
        one_based: VOC corners count from 1, as the original VOC's do; they are shifted by one.

    Raises:
        DataError: names each file, line and fault; nothing is left out in silence.
        UserError: an argument is not valid.
    """
    root, format = opened(path, format)
    names = tuple(class_names) if class_names is not None else None
    settings = [format, split, names, invalid_boxes, one_based]
    known = cache.load(root, settings)
    if known is not None:
        return known
    found, faults = gather(root, format, split, names, invalid_boxes, one_based)
    faults.raise_if_any()
    if not len(found):
        raise DataError(f"{path}: split {split!r} has no image", rule="one image at least")
    return cache.save(root, settings, found)


def opened(path: str | Path, format: str = "auto") -> tuple[Place, str]:
    """The data set's root, inside its archive if it is one, and its format.

    Raises:
        DataError: there is nothing, or its format cannot be told.
        UserError: there is no such format.
    """
    if not Path(path).exists():
        raise DataError(f"there is no data set {path}", fix="check the path")
    root = place(path)
    if format == "auto":
        format = _guess(root)
    if format not in _READERS:
        raise UserError(f"unknown format {format!r}", fix=nearest(format, [*FORMATS, "auto"]))
    return root, format


def splits_of(root: Place, format: str) -> list[str]:
    """Names of a data set's splits.

    Raises:
        DataError: what lists them cannot be read.
    """
    try:
        return list(_READERS[format].splits(root))
    except OSError as error:
        raise _unreadable(root, error) from error


def gather(
    root: Place,
    format: str,
    split: str,
    class_names: tuple[str, ...] | None = None,
    invalid_boxes: str = "error",
    one_based: bool = False,
    mend: bool = False,
) -> tuple[DetectionDataset, Faults]:
    """What is sound in one split, and all that is not; `read` refuses the latter.

    With `mend` boxes are cut at the border, and what is left out stands in `dropped`.

    Raises:
        DataError: the split cannot be read at all.
        UserError: an argument is not valid.
    """
    if class_names is not None and not class_names:
        raise UserError("class_names is empty", rule="at least one name, or None")
    faults = Faults(root, invalid_boxes, mend)
    try:
        if format == "voc":
            found = voc.read(root, split, class_names, faults, one_based)
        else:
            found = _READERS[format].read(root, split, class_names, faults)
    except OSError as error:  # may not be read, or a name longer than the file system allows
        raise _unreadable(root, error) from error
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


def _unreadable(root: Place, error: OSError) -> DataError:
    return DataError(f"{root} cannot be read", received=str(error)[:200])


def _guess(path: Place) -> str:
    found = guesses(path)
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"cannot tell the format of {path}",
        rule=f"one of {', '.join(FORMATS)}",
        received=f"it looks like {' and '.join(found) or 'none of them'}",
        fix=f"--format {(found or FORMATS)[0]}",
    )


def guesses(path: Place) -> list[str]:
    """The formats that a folder or file looks like."""
    if array_record.looks_like(path):
        return ["arrayrecord"]  # its list of shards says so itself
    found = [name for name, reader in _READERS.items() if reader.looks_like(path)]
    if len(found) > 1 and "csv" in found:
        # A table beside annotations of another kind is a summary of them.
        found.remove("csv")
    return found
