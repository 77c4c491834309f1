"""`read`: a data set of any format that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden.data import cache
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults
from visiongarden.data.labelled_images import ClassificationDataset
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.place import Place, place
from visiongarden.data.read import array_record, coco, csv_table, folders, mask_folders, voc, yolo
from visiongarden.data.table import Table, located_in
from visiongarden.errors import DataError, UserError, nearest

_READERS: dict[str, Any] = {
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "csv": csv_table,
    "arrayrecord": array_record,
    "folders": folders,
    "masks": mask_folders,
}
EVERY_FORMAT = tuple(_READERS)
FORMATS = tuple(name for name in EVERY_FORMAT if name not in ("folders", "masks"))
"""Formats whose labels are boxes."""

_SHAPES = (
    "COCO JSON, YOLO txt, Pascal VOC, CSV or ArrayRecord; folders of classes (train/cat/*.jpg); or "
    "images/ beside masks/"
)

AnyDataset = DetectionDataset | ClassificationDataset | SegmentationDataset


def read(
    path: str | Path,
    format: str = "auto",
    split: str = "train",
    class_names: Sequence[str] | None = None,
    invalid_boxes: str = "error",
    one_based: bool = False,
) -> DetectionDataset:
    """Reads one split of a data set of boxes; looks at every label before it returns.

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
    root, format = opened(path, format, FORMATS)
    names = tuple(class_names) if class_names is not None else None
    settings = [format, split, names, invalid_boxes, one_based]
    known = cache.load(root, settings)
    if known is not None:
        return known
    found, faults = gather(root, format, split, names, invalid_boxes, one_based)
    refuse_faults(faults, found, split)
    return cache.save(root, settings, found)


def read_folders(
    path: str | Path, split: str = "train", class_names: Sequence[str] | None = None
) -> ClassificationDataset:
    """Reads one split of a data set of class folders, or of an archive of them.

    `train/cat/*.jpg`, `val/cat/*.jpg` (or `valid`, `validation`) and `test/cat/*.jpg`; or
    `cat/*.jpg` alone, split 80/10/10 by a hash of the file names. Names of the classes are those of
    the folders of all splits, sorted; `classes.txt` beside them gives another order. Hidden files
    are passed over; any other file that is no image is a fault, and so is an image beside them.

    Args:
        path: folder or archive of the data set.
        split: "train", "val", "test", or the name of its folder.
        class_names: the class map, instead of the folders' names.

    Raises:
        DataError: names each fault; nothing is left out in silence.
    """
    found: ClassificationDataset = _read_as("folders", path, split, class_names)
    return found


def read_masks(
    path: str | Path, split: str = "train", class_names: Sequence[str] | None = None
) -> SegmentationDataset:
    """Reads one split of a data set of images and semantic masks, or of an archive of them.

    `images/train/a.jpg` beside `masks/train/a.png`; or `train/images` beside `train/masks`; or
    `images/` beside `masks/` without splits, divided 80/10/10 by a hash of the names; or Pascal
    VOC's `JPEGImages/`, `SegmentationClass/` and `ImageSets/Segmentation/train.txt`. `annotations/`
    (ADE20K) and `labels/` are masks too where they hold images.

    A mask is a PNG of the size of its image: grey or palette, whose values are ids, or RGB.
    `classes.yaml` (or .json, .txt with a name a line) says what the values mean:

        classes: [background, road, tree]                        # ids 0, 1, 2
        classes: {background: 0, road: 7, tree: 21}              # ids of the files' own
        classes: {road: [128, 64, 128], tree: [107, 142, 35]}    # RGB masks
        ignore: [255]                                            # neither trained on nor judged

    Args:
        path: folder or archive of the data set.
        split: "train", "val", "test", or the name of its folder or list.
        class_names: the class map that the file must give, in this order.

    Raises:
        DataError: no such folders, an image without a mask or a mask without an image, classes that
            are not sound. What is inside the masks is looked at when they are loaded.
    """
    found: SegmentationDataset = _read_as("masks", path, split, class_names)
    return found


def read_any(
    path: str | Path, format: str = "auto", split: str = "train", invalid_boxes: str = "error"
) -> AnyDataset:
    """Reads one split of a data set of any kind, by `read`, `read_folders` or `read_masks`.

    Raises:
        DataError: as those.
        UserError: an argument is not valid.
    """
    found = opened(path, format)[1]
    if found == "folders":
        return read_folders(path, split)
    if found == "masks":
        return read_masks(path, split)
    return read(path, found, split, invalid_boxes=invalid_boxes)


def _read_as(format: str, path: str | Path, split: str, class_names: Sequence[str] | None) -> Any:
    root, _ = opened(path, format)
    if not root.is_dir():
        raise DataError(f"{path} is no folder", rule=f"format {format} is a folder, or its archive")
    names = tuple(class_names) if class_names is not None else None
    found, faults = gather(root, format, split, names)
    refuse_faults(faults, found, split)
    return found


def refuse_faults(faults: Faults, found: AnyDataset, split: str) -> None:
    """Raises one report of a split's faults; a split without an image is one."""
    faults.raise_if_any()
    if not len(found):
        raise DataError(f"{faults.root}: split {split!r} has no image", rule="one image at least")


def opened(
    path: str | Path, format: str = "auto", formats: Sequence[str] = EVERY_FORMAT
) -> tuple[Place, str]:
    """The data set's root, inside its archive if it is one, and its format.

    Args:
        path: folder, file or archive.
        format: its name, or "auto" to look.
        formats: those that may be.

    Raises:
        DataError: there is nothing, or its format cannot be told.
        UserError: there is no such format.
    """
    if not Path(path).exists():
        raise DataError(f"there is no data set {path}", fix="check the path")
    root = place(path)
    if format == "auto":
        try:
            format = _guess(root, formats)
        except OSError as error:
            raise _unreadable(root, error) from error
    if format not in formats:
        raise UserError(f"unknown format {format!r}", fix=nearest(format, [*formats, "auto"]))
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
            found = _READERS[format].read(root, split, class_names, faults)
    except OSError as error:  # may not be read, or a name longer than the file system allows
        raise _unreadable(root, error) from error
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


def _unreadable(root: Place, error: OSError) -> DataError:
    return DataError(f"{root} cannot be read", received=str(error)[:200])


def _guess(path: Place, formats: Sequence[str]) -> str:
    found = guesses(path, formats)
    if len(found) == 1:
        return found[0]
    others = [] if found else guesses(path, EVERY_FORMAT)
    like = f"it looks like {' and '.join(found or others) or 'none of them'}"
    raise DataError(
        f"cannot tell the format of {path}",
        rule=_SHAPES,
        received=like + (", which holds no boxes" if others else ""),
        fix=" or ".join(f"--format {name}" for name in found) or f"--format {formats[0]}",
    )


def guesses(path: Place, formats: Sequence[str] = EVERY_FORMAT) -> list[str]:
    """The formats that a folder or file looks like; several where it could be meant either way."""
    if "arrayrecord" in formats and array_record.looks_like(path):
        return ["arrayrecord"]  # its list of shards says so itself
    found = [name for name in formats if _READERS[name].looks_like(path)]
    if len(found) > 1:
        # A JSON, a table or a YAML beside other things may be about anything.
        found = [name for name in found if _surely(name, path)] or found
    if len(found) > 1 and "folders" in found and set(found) & {"coco", "yolo", "voc", "masks"}:
        # Labels in files say more than the names of folders.
        found.remove("folders")
    if len(found) > 1 and "csv" in found and "folders" not in found:
        # A table beside annotations of another kind is a summary of them.
        found.remove("csv")
    return found


def _surely(format: str, path: Place) -> bool:
    """A closer look, where several formats are possible; True where there is none."""
    closer = getattr(_READERS[format], "is_surely", None)
    return closer is None or bool(closer(path))
