"""Reader of YOLO labels: one text file per image, one line per object.

A line contains class, center x, center y, width, height; or class and three or more points x, y;
or, if data.yaml defines `kpt_shape`, a box and the keypoints of its object. Coordinates are
fractions of the image's width and height, from 0 to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import example, read_text, size_of
from visiongarden.data.readers.class_lists import in_order, refuse_other_lists
from visiongarden.data.readers.yolo_files import Pair, pairs_of
from visiongarden.data.readers.yolo_lines import KptShape, all_boxes, label_of
from visiongarden.data.readers.yolo_yaml import has_yaml, is_described, layout_of
from visiongarden.errors import DataError
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, Example, ImageSize

YAML_KEYS = frozenset({"path", "train", "val", "valid", "test", "names", "nc", "kpt_shape"})
"""Keys of `data.yaml` that are interpreted; other keys are passed on to writers unchanged."""


def looks_like(path: Place) -> bool:
    """Return whether a path is a YAML file, or a folder that contains one or YOLO labels."""
    if path.is_file():
        return path.suffix in {".yaml", ".yml"}
    return is_described(path)


def is_surely(path: Place) -> bool:
    """Return whether a folder has both a YAML file and `labels` folders.

    Folders of other formats may contain one of the two.
    """
    if path.is_file():
        return True
    return has_yaml(path) and any(
        folder.name == "labels" for top in (path, *_inside(path)) for folder in _inside(top)
    )


def _inside(folder: Place) -> list[Any]:
    return [item for item in folder.iterdir() if item.is_dir()]


def splits(path: Place) -> list[str]:
    """Return the names of the splits in the YAML file."""
    return layout_of(path).splits()


def read(
    path: Place, split: str, class_names: tuple[str, ...] | None, errors: ErrorList
) -> DetectionDataset:
    """Read one split of a YOLO dataset and add its errors to `errors`; see `gather.READERS`."""
    layout = layout_of(path)
    named = bool(layout.data.get("names"))
    own = class_names if class_names and not named else layout.names()
    kpt_shape = layout.kpt_shape()
    pairs = pairs_of(layout, split, errors)
    if named:
        refuse_other_lists(layout.file, own, _lists(layout.root, pairs))
    names = ClassMap(class_names or own)
    examples: Any = []
    for index, (image, labels) in enumerate(pairs):
        size = size_of(image, errors)
        if size is not None:
            examples.append(_example(image, labels, size, len(names), errors, index, kpt_shape))
    examples, ids = in_order(examples, own, names.names)
    names = ClassMap(names.names, ids)
    extra = {str(key): value for key, value in layout.data.items() if str(key) not in YAML_KEYS}
    return DetectionDataset(names, tuple(examples), split, path, errors.dropped, extra)


def _lists(root: Place, pairs: list[Pair]) -> set[Place]:
    """Return the folders in which tools write a list of the classes."""
    labels = {label.parent for _, label in pairs if label is not None}
    return {root, *labels, *(folder.parent for folder in labels if folder != root)}


def _example(
    image: Place,
    file: Place | None,
    size: ImageSize,
    count: int,
    errors: ErrorList,
    index: int,
    kpt_shape: KptShape | None,
) -> Example:
    """Return the example of an image and its label file; without the file it has no objects."""
    text, given = "", 0
    if file is not None:
        try:
            text = read_text(file)
        except DataError as error:
            errors.add_error(error, "unreadable")
            given = 1
    # Almost all files contain valid boxes only; line-by-line parsing is for the others.
    quick = None if errors.shift or given else all_boxes(text, size, count)
    if quick is not None:
        errors.ids.update(quick[1].tolist())
        crowd = np.zeros(len(quick[0]), bool)
        return Example(*quick, path=image, image_id=index, size=size, crowd=crowd)
    labels = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            given += 1
            label = label_of(f"{file}:{number}", line, size, count, errors, kpt_shape)
            labels += [label] if label else []
    return example(image, size, labels, errors, index, given)
