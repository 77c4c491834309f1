"""`read`: a data set of any format that is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults
from visiongarden.data.read import coco, voc, yolo
from visiongarden.errors import DataError, UserError, nearest

_READERS = {"coco": coco, "voc": voc, "yolo": yolo}
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
      images beside it, in `images/`, `train/` or `train2017/`.
    - "yolo": a `data.yaml` or its folder; `images/…` beside `labels/…`; an image without a label
      file has no object.
    - "voc": `Annotations/`, `JPEGImages/`, `ImageSets/Main/*.txt`; or `annotations/` beside
      `images/`, split 80/10/10 by a hash of the file names. Classes are the names found, sorted.

    A box may stand over the border by one pixel and is cut there; images without a box are kept.
    Only files are read: nothing in them is run, and XML with a document type is refused.

    Args:
        path: folder or file.
        format: "coco", "yolo", "voc", or "auto" to look.
        split: "train", "val", "test", or what the data set calls it.
        class_names: the class map, instead of the one that the files give.
        invalid_boxes: "error", or "drop": leave out boxes outside the image or without area, and
            list them in `dropped`.
        one_based: VOC corners count from 1, as the original VOC's do; they are shifted by one.

    Raises:
        DataError: names each file, line and fault; nothing is left out in silence.
        UserError: an argument is not valid.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no data set {path}", fix="check the path")
    if format == "auto":
        format = _guess(path)
    if format not in _READERS:
        raise UserError(f"unknown format {format!r}", fix=nearest(format, [*FORMATS, "auto"]))
    if class_names is not None and not class_names:
        raise UserError("class_names is empty", rule="at least one name, or None")
    faults = Faults(path, invalid_boxes)
    names = tuple(class_names) if class_names is not None else None
    try:
        if format == "voc":
            found = voc.read(path, split, names, faults, one_based)
        else:
            found = _READERS[format].read(path, split, names, faults)
    except OSError as error:  # may not be read, or a name longer than the file system allows
        raise DataError(f"{path} cannot be read", received=str(error)[:200]) from error
    faults.raise_if_any()
    if not len(found):
        raise DataError(f"{path}: split {split!r} has no image", rule="one image at least")
    return found


def _guess(path: Path) -> str:
    found = guesses(path)
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"cannot tell the format of {path}",
        rule=f"one of {', '.join(FORMATS)}",
        received=f"it looks like {' and '.join(found) or 'none of them'}",
        fix=f"--format {(found or FORMATS)[0]}",
    )


def guesses(path: Path) -> list[str]:
    """The formats that a folder or file looks like."""
    return [name for name, reader in _READERS.items() if reader.looks_like(path)]
