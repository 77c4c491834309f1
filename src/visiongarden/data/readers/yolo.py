"""Reader of YOLO labels: one text file per image, one line per object.

A line contains class, center x, center y, width, height; or class and three or more points x, y;
or class and the four corners of a rotated box; or, if data.yaml defines `kpt_shape`, a box and the
keypoints of its object. Coordinates are fractions of the image's width and height, from 0 to 1.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import read_text, row, size_of
from visiongarden.data.readers.class_lists import in_order, refuse_other_lists
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.yolo_files import Pair, has_split, pairs_of
from visiongarden.data.readers.yolo_lines import KptShape, all_boxes, are_rectangles, label_of
from visiongarden.data.readers.yolo_yaml import Layout, has_yaml, is_described, layout_of
from visiongarden.data.rows import Lines, Row
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage.header import image_size
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, ImageSize

YAML_KEYS = frozenset(
    {"path", "train", "val", "valid", "test", "names", "nc", "kpt_shape", "flip_idx", "kpt_names"}
)
"""Keys of `data.yaml` that are interpreted; other keys are passed on to writers unchanged."""

_TRIED = 100
"""Number of label files that decide whether labels of eight numbers are rotated boxes."""


@register
class YOLO(Reader):
    """Reader of YOLO labels: boxes, rotated boxes, polygons, or boxes with keypoints.

    The dataset is a `data.yaml` or its folder, with `images/…` beside `labels/…`. An image without
    a label file has no objects. With `kpt_shape` in data.yaml a line is a box and its keypoints,
    which a mirror swaps by `flip_idx`.

    Attributes:
        boxes: What a class with eight numbers is: "rotated", the corners of a rotated box;
            "upright", a polygon of four points with the upright box around it; "auto", a rotated
            box if all lines of the first label files are rectangles, else a polygon.

    Example:
        >>> vg.read("pens", reader={"type": "YOLO", "boxes": "rotated"})  # doctest: +SKIP
    """

    boxes: Literal["auto", "upright", "rotated"] = "auto"

    files: ClassVar[str] = "data.yaml with images/ beside labels/*.txt"
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def matches(self, source: Source) -> float:
        """Return 0.9 for a YAML file, or one beside `labels`; 0.5 for one of the two."""
        path = source.root
        if path.is_file():
            return 0.9 if path.suffix in {".yaml", ".yml"} else 0.0
        return 0.0 if not is_described(path) else 0.9 if _has_both(path) else 0.5

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits in the YAML file.

        Roboflow lists a test split whether or not there is one.
        """
        layout = layout_of(source.root)
        names = layout.splits()
        found = tuple(name for name in names if name != "test" or has_split(layout, name))
        return found or tuple(names)

    def is_divisible(self, source: Source) -> bool:
        """Return True: the YAML file names the folder of the images."""
        return True

    def read(self, source: Source, split: str) -> Dataset:
        """Read one split."""
        errors = source.errors
        layout = layout_of(source.root)
        named = bool(layout.data.get("names"))
        own = source.class_names if source.class_names and not named else layout.names()
        pairs = pairs_of(layout, split, errors)
        if named:
            refuse_other_lists(layout.file, own, _lists(layout.root, pairs))
        names = ClassMap(source.class_names or own)
        kind = _Kind(layout.kpt_shape(), self._are_rotated(layout, split, pairs, errors))
        rows: Any = []
        for image, labels in pairs:
            size = size_of(image, errors)
            if size is not None:
                rows.append(_row(image, labels, size, len(names), errors, kind))
        rows, ids = in_order(rows, own, names.names)
        extra = {str(key): value for key, value in layout.data.items() if str(key) not in YAML_KEYS}
        return Dataset.of_rows(
            ClassMap(names.names, ids),
            rows,
            self.located(source.root),
            layout.scheme(),
            split=split,
            root=source.root,
            extra=extra,
        )

    def _are_rotated(
        self, layout: Layout, split: str, pairs: list[Pair], errors: ErrorList
    ) -> bool:
        """Return whether labels are rotated boxes, in all splits of a dataset alike."""
        if self.boxes != "auto" or layout.kpt_shape() is not None:
            return self.boxes == "rotated"
        if not _has_corners(pairs):
            return False
        # The split that comes first decides, so that all splits have the same annotations.
        first = next(iter(layout.splits()), split)
        try:
            found = _are_rectangles(pairs_of(layout, first, ErrorList(layout.root)))
        except DataError:
            found = _are_rectangles(pairs)  # the error is reported when that split is read
        if found:
            errors.note(
                layout.file,
                "the labels, a class and eight numbers, are rectangles and are read as rotated "
                'boxes; for polygons of four points, set reader={"type": "YOLO", "boxes": '
                '"upright"}',
                "rotated",
            )
        return found


class _Kind(NamedTuple):
    """What the lines of label files contain."""

    kpt_shape: KptShape | None
    rotated: bool


def _has_corners(pairs: list[Pair]) -> bool:
    """Return whether the lines of the first label file have eight numbers.

    This decides for almost all datasets, at the cost of one file.
    """
    texts = (_text_of(file) for _, file in pairs if file is not None)
    first = next((text for text in texts if text.strip()), "")
    lines = [line.split() for line in first.splitlines() if line.strip()]
    return bool(lines) and all(len(words) == 9 for words in lines)


def _are_rectangles(pairs: list[Pair]) -> bool:
    """Return whether all lines of the first label files that have any are rectangles."""
    found = 0
    for image, file in pairs:
        if found == _TRIED:
            break
        try:
            are = None if file is None else are_rectangles(_text_of(file), image_size(image))
        except DataError:
            continue  # the error is reported when the image is read
        if are is False:
            return False
        found += bool(are)
    return found > 0


def _text_of(file: Place) -> str:
    """Return the text of a label file; "" if it cannot be read, which is reported later."""
    try:
        return read_text(file)
    except DataError:
        return ""


def _has_both(path: Place) -> bool:
    """Return whether a folder has both a YAML file and `labels` folders.

    Folders of other formats may contain one of the two.
    """
    return has_yaml(path) and any(
        folder.name == "labels" for top in (path, *_inside(path)) for folder in _inside(top)
    )


def _inside(folder: Place) -> list[Any]:
    return [item for item in folder.iterdir() if item.is_dir()]


def _lists(root: Place, pairs: list[Pair]) -> set[Place]:
    """Return the folders in which tools write a list of the classes."""
    labels = {label.parent for _, label in pairs if label is not None}
    return {root, *labels, *(folder.parent for folder in labels if folder != root)}


def _row(
    image: Place, file: Place | None, size: ImageSize, count: int, errors: ErrorList, kind: _Kind
) -> Row:
    """Return the row of an image and its label file; without the file it has no objects."""
    text, given = "", 0
    if file is not None:
        try:
            text = read_text(file)
        except DataError as error:
            errors.add_error(error, "unreadable")
            given = 1
    # Almost all files contain valid boxes only; line-by-line parsing is for the others.
    slow = errors.shift or given or kind.rotated
    quick = None if slow else all_boxes(text, size, count)
    if quick is not None:
        boxes, classes, numbers = quick
        errors.ids.update(classes.tolist())
        lines = Lines(f"{file}:", numbers) if file is not None else None
        return Row(image, size, boxes, classes, crowd=np.zeros(len(boxes), bool), lines=lines)
    labels = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            given += 1
            label = label_of(f"{file}:{number}", line, size, count, errors, *kind)
            labels += [label] if label else []
    return row(image, size, labels, errors, given)
