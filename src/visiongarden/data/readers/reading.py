"""`read`: read one split of a dataset of any task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visiongarden.data import cache
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.readers.gathering import FORMATS, AnyDataset, gather
from visiongarden.data.readers.guess import opened
from visiongarden.errors import DataError, UserError, option


def read_boxes(
    path: str | Path,
    format: str = "auto",
    split: str = "train",
    class_names: Sequence[str] | None = None,
    invalid_boxes: str = "error",
    one_based: bool = False,
) -> DetectionDataset:
    """Read one split of a detection dataset and validate all its labels.

    - "coco": a JSON file, or a folder with `train.json` and `val.json`, or `annotations/*.json`.
      Images are in the same folder, in `images/`, `train/` or `train2017/`. `segmentation` may be
      polygons or run lengths.
    - "yolo": a `data.yaml` or its folder, with `images/…` beside `labels/…`. An image without a
      label file has no objects. A line is a box, or a class and the points of a polygon.
    - "voc": `Annotations/`, `JPEGImages/`, `ImageSets/Main/*.txt`; or `annotations/` beside
      `images/`, split 80/10/10 by a hash of the file names. The classes are all names that occur,
      sorted.
    - "csv": `train.csv` and `val.csv`, or one file, with the columns path, x1, y1, x2, y2, class,
      with or without a header. One file without a column `split` is split as for VOC.
    - "arrayrecord": the folder that `visiongarden data convert` writes.

    `classes.txt` beside VOC or CSV annotations defines the order of the classes. A .zip or an
    uncompressed .tar is read as the folder that it contains, without unpacking it.

    A dataset of ten or more images whose only split is for training is divided 80/10/10 by a hash
    of the file names.

    A box may exceed the border by one pixel and is clipped; images without boxes are kept. Reading
    never executes anything from the files, and XML with a document type is refused. The labels of
    a large dataset are cached until a file changes, see `visiongarden.data.cache`.

    Args:
        path: Folder, file or archive.
        format: One of the formats above, or "auto" to detect it.
        split: "train", "val", "test", or a split name of the dataset.
        class_names: Class names to use instead of those in the files. Names that the files contain
            in another order are matched by name.
        invalid_boxes: "error", or "drop" to remove boxes that are outside the image or have no
            area, and list them in `dropped`.
        one_based: Whether VOC corners count from 1, as in the original VOC; they are shifted by
            one.

    Returns:
        The images and boxes of the split, without pixels.

    Raises:
        DataError: The dataset contains errors; each is listed with its file and line. Nothing is
            dropped silently.
        UserError: An argument is not valid.

    Example:
        >>> dataset = read_boxes("coco128", split="val")
        >>> dataset.class_map.names
        >>> dataset[0].boxes  # float32 (n, 4), xyxy, pixels
    """
    root, format = opened(path, format, FORMATS)
    names = tuple(class_names) if class_names is not None else None
    settings = [format, split, names, invalid_boxes, one_based]
    known = cache.load(root, settings)
    if known is not None:
        return known
    since = time.time_ns()
    found, errors = gather(root, format, split, names, invalid_boxes, one_based)
    _refuse_findings(errors, found, split)
    return cache.save(root, settings, found, since)


def read_folders(
    path: str | Path, split: str = "train", class_names: Sequence[str] | None = None
) -> ClassificationDataset:
    """Read one split of a classification dataset of class folders.

    The layout is `train/cat/*.jpg`, `val/cat/*.jpg` (or `valid`, `validation`) and
    `test/cat/*.jpg`; or `cat/*.jpg` alone, split 80/10/10 by a hash of the file names. The classes
    are the folder names of all splits, sorted, unless `classes.txt` in the root defines another
    order. Hidden files are skipped; any other file that is not an image is an error, and so is an
    image outside the class folders.

    Args:
        path: Folder or archive of the dataset.
        split: "train", "val", "test", or the name of the split's folder.
        class_names: Class names in the desired order, instead of the folder names.

    Returns:
        The images and classes of the split, without pixels.

    Raises:
        DataError: The dataset contains errors; each is listed. Nothing is dropped silently.
    """
    found: ClassificationDataset = _read_as("folders", path, split, class_names)
    return found


def read_masks(
    path: str | Path, split: str = "train", class_names: Sequence[str] | None = None
) -> SegmentationDataset:
    """Read one split of a dataset of images and semantic masks.

    The layout is `images/train/a.jpg` beside `masks/train/a.png`; or `train/images` beside
    `train/masks`; or `images/` beside `masks/` without splits, divided 80/10/10 by a hash of the
    names; or Pascal VOC's `JPEGImages/`, `SegmentationClass/` and
    `ImageSets/Segmentation/train.txt`. `annotations/` (ADE20K) and `labels/` are mask folders too
    if they contain images.

    A mask is a PNG of the size of its image: gray or palette with ids as values, or RGB.
    `classes.yaml` (or .json, or .txt with one name per line) defines the meaning of the values:

        classes: [background, road, tree]                        # ids 0, 1, 2
        classes: {background: 0, road: 7, tree: 21}              # custom ids
        classes: {road: [128, 64, 128], tree: [107, 142, 35]}    # RGB masks
        ignore: [255]                                            # ignored in training, evaluation

    Args:
        path: Folder or archive of the dataset.
        split: "train", "val", "test", or the name of the split's folder or list.
        class_names: Expected class names, which must equal those in the file, order included.

    Returns:
        The images and masks of the split, without pixels.

    Raises:
        DataError: The folders do not exist, an image has no mask or a mask no image, or the file
            that names the classes is not valid. The content of masks is checked when it is loaded.
    """
    found: SegmentationDataset = _read_as("masks", path, split, class_names)
    return found


def read(
    path: str | Path,
    format: str = "auto",
    split: str = "train",
    class_names: Sequence[str] | None = None,
    invalid_boxes: str = "error",
    one_based: bool = False,
) -> AnyDataset:
    """Read one split of a dataset of any task and validate all its labels.

    Args:
        path: Folder, file or archive.
        format: Name of the format: those of `read_boxes`, "folders" (see `read_folders`), "masks"
            (see `read_masks`), or "auto" to detect it.
        split: "train", "val", "test", or a split name of the dataset.
        class_names: Class names to use instead of those in the files.
        invalid_boxes: "error", or "drop" to remove boxes that are outside the image or have no
            area, and list them in `dropped`.
        one_based: Whether VOC corners count from 1; see `read_boxes`.

    Returns:
        The annotations of the split, without pixels.

    Raises:
        DataError: The dataset contains errors; each is listed with its file and line. Nothing is
            dropped silently.
        UserError: An argument is not valid.

    Example:
        >>> dataset = vg.read("coco128", split="val")  # doctest: +SKIP
        >>> dataset.class_map.names  # doctest: +SKIP
    """
    _check_path(path)
    found = opened(path, format)[1]
    if found == "folders":
        return read_folders(path, split, class_names)
    if found == "masks":
        return read_masks(path, split, class_names)
    return read_boxes(path, found, split, class_names, invalid_boxes, one_based)


def _check_path(path: Any) -> None:
    if not isinstance(path, str | Path):
        raise UserError(
            f"path is of type {type(path).__name__}",
            rule="the path of a folder, a file or an archive",
            fix='vg.read("cells", split="val")',
        )


def _read_as(format: str, path: str | Path, split: str, class_names: Sequence[str] | None) -> Any:
    root, _ = opened(path, format)
    if not root.is_dir():
        raise DataError(
            f"{path} is not a folder", rule=f"a folder or an archive of one for format {format}"
        )
    names = tuple(class_names) if class_names is not None else None
    found, errors = gather(root, format, split, names)
    _refuse_findings(errors, found, split)
    return found


def _refuse_findings(errors: ErrorList, found: AnyDataset, split: str) -> None:
    """Raise one `DataError` that lists the errors of a split; an empty split is an error too."""
    errors.raise_if_any()
    if not len(found):
        raise DataError(
            f"{errors.root}: split {split!r} has no image",
            rule="at least one image",
            fix=option("split", "train") if split != "train" else None,
        )
