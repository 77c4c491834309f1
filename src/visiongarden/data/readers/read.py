"""`read`: a data set of any format that is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visiongarden.data import cache
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults
from visiongarden.data.labelled_images import ClassificationDataset
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.readers.gather import FORMATS, AnyDataset, gather
from visiongarden.data.readers.guess import opened
from visiongarden.errors import DataError, option


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

    A set with one split for training only, of ten images or more, is divided 80/10/10 by a hash of
    the file names.

    A box may stand over the border by one pixel and is cut there; images without a box are kept.
    Only files are read: nothing in them is run, and XML with a document type is refused. What was
    read of a large set is remembered until a file changes; see `visiongarden.data.cache`.

    Args:
        path: folder, file or archive.
        format: one of the above, or "auto" to look.
        split: "train", "val", "test", or what the data set calls it.
        class_names: the class map, instead of the one that the files give; names that the files
            have in another order are matched by name.
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
    _refuse_faults(faults, found, split)
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
    path: str | Path,
    format: str = "auto",
    split: str = "train",
    invalid_boxes: str = "error",
    one_based: bool = False,
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
    return read(path, found, split, invalid_boxes=invalid_boxes, one_based=one_based)


def _read_as(format: str, path: str | Path, split: str, class_names: Sequence[str] | None) -> Any:
    root, _ = opened(path, format)
    if not root.is_dir():
        raise DataError(f"{path} is no folder", rule=f"format {format} is a folder, or its archive")
    names = tuple(class_names) if class_names is not None else None
    found, faults = gather(root, format, split, names)
    _refuse_faults(faults, found, split)
    return found


def _refuse_faults(faults: Faults, found: AnyDataset, split: str) -> None:
    """Raises one report of a split's faults; a split without an image is one."""
    faults.raise_if_any()
    if not len(found):
        raise DataError(
            f"{faults.root}: split {split!r} has no image",
            rule="one image at least",
            fix=option("split", "train") if split != "train" else None,
        )
