"""Checks, charts and fixes of datasets with objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from visiongarden.data.copies import different_labels
from visiongarden.data.dataset import Dataset, as_dataset
from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.data.readers import Reader, gather
from visiongarden.data.rows import Row, selected
from visiongarden.doctor.box_fixes import refuse_without_boxes, without_crowds
from visiongarden.doctor.charts import bars, heat, histogram, steps
from visiongarden.doctor.checking import no_usable_box
from visiongarden.doctor.contents import Contents
from visiongarden.doctor.images import Look
from visiongarden.doctor.keypoints import counts_of_points, of_keypoints
from visiongarden.doctor.labeling import Labeling, of_ids
from visiongarden.doctor.labels import of_labels
from visiongarden.doctor.object_masks import of_masks
from visiongarden.drawing.annotations import draw_sample, fitted
from visiongarden.errors import DataError
from visiongarden.storage.place import Place
from visiongarden.terminal import counted
from visiongarden.types import ClassMap

ASPECT = 20.0
"""Aspect ratio from which a box is reported as a likely mistake."""

_SAME = 1.0
"""Largest difference of a coordinate, in pixels, between two boxes that count as duplicates."""


class Boxes(Labeling):
    """Labeling of datasets with objects: boxes, upright or rotated, masks, keypoints and classes.

    Args:
        stride: stride of the model's finest feature map in pixels.
        image_size: longest side to which the model's images are scaled, in pixels.
        reader: reader of the dataset.
    """

    unit = "boxes"
    crowds_as_objects = False
    """Whether `fix` turns every crowd into an object."""
    rotation_note = "the image is shown rotated, so its boxes must be rotated too"

    def __init__(
        self, stride: int = 8, image_size: int = 640, reader: Reader | None = None
    ) -> None:
        super().__init__(stride, image_size, reader)
        self.unlabeled: dict[str, int] = {}
        """Number of images without a label file in each split."""

    def of_split(
        self, dataset: Dataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """Find shifted class ids, misinterpreted corners and implausible objects of one split."""
        self.unlabeled[split] = len(errors.unlabeled)
        yield from of_ids(errors, dataset.class_map, split)
        yield from errors.notes
        yield from _of_corners(dataset, errors, split)
        unlabeled = set(errors.unlabeled)
        yield from _of_boxes(dataset, split, self.stride, self.image_size, unlabeled)
        yield from of_masks(dataset, split)
        yield from of_keypoints(dataset, split)
        yield from of_labels(dataset, split)

    def of_all(
        self,
        datasets: Mapping[str, Dataset],
        tallies: Mapping[str, np.ndarray],
        root: Place,
    ) -> Iterator[Finding]:
        """Find issues of all splits, among them splits without usable boxes and crowd-only classes.

        A training split without usable boxes is an error, any other split a warning.
        """
        yield from super().of_all(datasets, tallies, root)
        # Without a training split, the first one is likely to become it.
        trained_on = "train" if "train" in datasets else next(iter(datasets), "")
        for split, dataset in datasets.items():
            try:
                no_usable_box(dataset)
            except DataError as error:
                level = "error" if split == trained_on else "warning"
                reason = "; ".join(part for part in (error.rule, error.received) if part)
                fix = f"; {error.fix}" if error.fix else ""
                what = f"{error.what.removeprefix(f'{dataset.root}: ')}: {reason}{fix}"
                yield Finding(level, "no-boxes", str(root), what, split)
            else:
                yield from _of_crowds(dataset, split, str(root))

    def tally(self, dataset: Dataset, split: str) -> np.ndarray:
        """Count the boxes of each class."""
        count = len(dataset.class_map)
        total = np.zeros(count, np.int64)
        for row in dataset.rows():
            total += np.bincount(row.classes, minlength=count)
        return total

    def columns(self, dataset: Dataset, tally: np.ndarray) -> dict[str, int]:
        """Count images, images without a label file, images without a box, and objects."""
        unlabeled = self.unlabeled.get(dataset.split, 0)
        counts = {"images": len(dataset)}
        counts |= {"without a label file": unlabeled} if any(self.unlabeled.values()) else {}
        objects = [len(row.classes) for row in dataset.rows()]
        boxes = "rotated boxes" if "rotated" in dataset.fields else "boxes"
        counts |= {"without a box": objects.count(0) - unlabeled, boxes: int(tally.sum())}
        return counts | self.details(dataset)

    def details(self, dataset: Dataset) -> dict[str, int]:
        """Count masks, objects with a labeled keypoint, and labeled keypoints."""
        counts = {}
        if "masks" in dataset.fields:
            rows = dataset.rows()
            counts["masks"] = sum(one is not None for row in rows for one in row.polygons or ())
        if "keypoints" in dataset.fields:
            posed, points = counts_of_points(dataset)
            counts |= {"objects with keypoints": posed, "keypoints": int(points.sum())}
        return counts

    def picture(self, dataset: Dataset, index: int, side: int) -> np.ndarray:
        """Draw the annotations on a resized image."""
        sample = dataset.load(index)
        image, ratio = fitted(np.asarray(sample.image), side)
        size = (image.shape[0], image.shape[1])
        sample.instances = sample.instances.warp(np.diag((ratio, ratio, 1.0)), size)
        return draw_sample(image, sample, dataset.class_map, dataset.label_map)

    def charts(self, contents: Contents) -> Iterator[str]:
        """Yield charts of classes, boxes per image, and box sizes, shapes and positions."""
        yield bars("boxes per class", contents.counts())
        rows = [row for dataset in contents.datasets.values() for row in dataset.rows()]
        counts = np.array([len(row.boxes) for row in rows])
        yield histogram("boxes per image", counts, steps(counts))
        yield from _charts_of_points(contents)
        filled = [row for row in rows if len(row.boxes)]
        if not filled:
            return
        every = np.concatenate([_sides(row) for row in filled])
        areas = np.concatenate([np.full(len(row.boxes), np.prod(row.size)) for row in filled])
        marks = [0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
        sides = np.sqrt(every.prod(axis=1) / areas)
        yield histogram("box side as a fraction of the image side", sides, marks)
        ratio = np.clip(every[:, 0] / np.maximum(every[:, 1], 1e-6), 1 / 32, 32)
        marks = [1 / 32, 1 / 8, 1 / 4, 1 / 2, 0.67, 0.8, 1.25, 1.5, 2, 4, 8, 32]
        yield histogram("aspect ratio of boxes (width / height)", ratio, marks)
        centers = [_centers(row) / np.array(row.size[::-1]) for row in filled]
        yield heat("centers of boxes", np.concatenate(centers))

    def shifted(self, dataset: Dataset, errors: ErrorList, reader: Reader, step: int) -> Dataset:
        """Read the split again with shifted class ids."""
        # Boxes with ids outside the class map were dropped; only the files still contain them.
        found, reread = gather(errors.root, reader, dataset.split, repair=True, shift=step)
        errors.found, errors.dropped, errors.ids = reread.found, reread.dropped, reread.ids
        errors.emptied = reread.emptied
        return as_dataset(found, dataset.split)

    def conflict(self, one: Dataset, i: int, other: Dataset, j: int) -> str:
        """Return how the boxes or classes of two identical images differ; "" if they do not."""
        return different_labels(one.row(i), other.row(j))

    def is_labeled(self, dataset: Dataset, index: int) -> bool:
        """Return whether an image has a box."""
        return len(dataset.row(index).boxes) > 0

    def settled(
        self, datasets: Mapping[str, Dataset], root: Place, changes: list[str]
    ) -> Mapping[str, Dataset]:
        """Turn crowds into objects where a split has nothing else.

        Raises:
            DataError: the training split has no boxes, or only crowds.
        """
        result = without_crowds(datasets, self.crowds_as_objects, changes)
        if "train" in result:
            refuse_without_boxes(result, str(root))
        return result

    def part(self, dataset: Dataset, indices: Sequence[int], changes: list[str]) -> Dataset:
        """Return the dataset of some images without duplicate boxes."""
        rows = []
        for index in indices:
            row = dataset.row(index)
            kept = np.ones(len(row.boxes), bool)
            for later, first in _duplicates(row.boxes):
                # Of duplicates with different classes both are kept, as either may be right.
                if row.classes[later] == row.classes[first]:
                    kept[later] = False
                    line = f"{row.path}: box {later} is a duplicate of box {first}"
                    changes.append(f"[{dataset.split}] left out: {line}")
            rows.append(selected(row, kept))
        return dataset.with_rows(rows)


def _of_crowds(dataset: Dataset, split: str, root: str) -> Iterator[Finding]:
    """Find classes whose boxes are all crowds, and count crowd regions."""
    crowd: Counter[int] = Counter()
    every: Counter[int] = Counter()
    for row in dataset.rows():
        every.update(row.classes.tolist())
        crowd.update(row.classes[row.crowd].tolist())
    for index, count in crowd.items():
        if count == every[index]:
            name = dataset.class_map.names[index]
            what = f"all {count} boxes of class {name!r} are crowds, which training excludes"
            yield Finding("warning", "crowd", root, what, split)
    if total := crowd.total():
        what = f"{total} of {every.total()} boxes are crowd regions: they are not trained on, and"
        what += " detections within them are no errors"
        yield Finding("note", "crowd-regions", root, what, split)


def _of_boxes(
    dataset: Dataset, split: str, stride: int, canvas: int, unlabeled: set[str]
) -> Iterator[Finding]:
    """Find duplicate and tiny boxes, extreme aspect ratios, and images without boxes.

    Args:
        dataset: valid part of a split.
        split: name of the split.
        stride: stride of the finest feature map in pixels of the canvas.
        canvas: longest side in pixels to which images are scaled for the model.
        unlabeled: paths of images without a label file, which are counted but not listed.
    """
    for row in dataset.rows():
        where = str(row.path)
        if not len(row.boxes):
            if where not in unlabeled:
                yield Finding("note", "empty", where, "the image has no box", split)
            continue
        # A crowd region may be around an object, and is not trained on, whatever its size.
        objects = selected(row, ~row.crowd)
        yield from _of_duplicates(objects, dataset.class_map, where, split)
        sides = _sides(objects)
        scale = canvas / max(row.size)  # as letterbox does, which also enlarges
        for i in np.flatnonzero(sides.max(axis=1) * scale < stride):
            size = " × ".join(f"{v:.1f}" for v in sides[i] * scale)
            what = f"box {_box(objects, i)} has {size} pixels at image size {canvas}"
            yield Finding(
                "warning", "tiny", where, f"{what}, less than one stride of {stride}", split
            )
        ratios = sides.max(axis=1) / np.maximum(sides.min(axis=1), 1e-6)
        for i in np.flatnonzero(ratios >= ASPECT):
            what = f"one side of box {_box(objects, i)} is {ratios[i]:.0f} times the other"
            yield Finding("warning", "aspect", where, what, split)


def _sides(row: Row) -> np.ndarray:
    """Return the (width, height) of boxes, upright or rotated, float32 (n, 2)."""
    if row.boxes.shape[1] == 5:
        return row.boxes[:, 2:4]
    return row.boxes[:, 2:] - row.boxes[:, :2]


def _centers(row: Row) -> np.ndarray:
    """Return the centers of boxes, upright or rotated, float32 (n, 2)."""
    if row.boxes.shape[1] == 5:
        return row.boxes[:, :2]
    return (row.boxes[:, 2:] + row.boxes[:, :2]) / 2


def _charts_of_points(contents: Contents) -> Iterator[str]:
    """Yield a chart of how often each keypoint is labeled."""
    counts = {}
    for split, dataset in contents.datasets.items():
        if "keypoints" in dataset.fields:
            points, names = counts_of_points(dataset)[1].tolist(), dataset.scheme.names
            counts[split] = dict(zip(names or map(str, range(len(points))), points, strict=True))
    if counts:
        yield bars("labeled keypoints", counts)


def _of_duplicates(row: Row, class_map: ClassMap, where: str, split: str) -> Iterator[Finding]:
    for i, first in _duplicates(row.boxes):
        names = [class_map.names[int(row.classes[k])] for k in (first, i)]
        if names[0] == names[1]:
            what = f"box {_box(row, i)} of class {names[0]} is a duplicate"
            yield Finding("warning", "duplicate-box", where, what, split)
        else:
            what = f"box {_box(row, i)} has two classes, {names[0]} and {names[1]}"
            yield Finding("warning", "two-classes", where, what, split)


def _duplicates(boxes: np.ndarray) -> list[tuple[int, int]]:
    """Return (later, first) indices for each box that duplicates an earlier one to one pixel."""
    # Boxes are sorted by their left side and compared only with those within a pixel of it, because
    # the number of all pairs is quadratic and an image may have thousands of boxes.
    order = np.argsort(boxes[:, 0], kind="stable")
    first_of: dict[int, int] = {}
    for position, i in enumerate(order):
        for j in order[position + 1 :]:
            if boxes[j, 0] - boxes[i, 0] > _SAME:
                break
            if np.abs(boxes[i] - boxes[j]).max() <= _SAME:
                first_of.setdefault(max(int(i), int(j)), min(int(i), int(j)))
    return sorted(first_of.items())


def _box(row: Row, index: Any) -> str:
    return "(" + ", ".join(f"{v:g}" for v in row.boxes[index].round(1)) + ")"


def _of_corners(dataset: Dataset, errors: ErrorList, split: str) -> Iterator[Finding]:
    """Find boxes that look like corners instead of sizes, and corners that count from 1.

    The number of boxes that were clipped at the border is reported too.
    """
    root = str(errors.root)
    outside = sum(finding.kind == "outside" for finding in errors.found)
    # If nearly all boxes that exceed the image would fit as corners, the file stores corners.
    if outside and errors.corner_like >= 0.9 * outside:
        what = "boxes (left, top, width, height) that exceed the image would fit as corners"
        yield Finding("error", "corners", root, f"{what}; are they (x1, y1, x2, y2)?", split)
    if errors.one_pixel:
        what = f"clipped: {counted(errors.one_pixel, 'box')} beyond the border by less than a pixel"
        yield Finding("note", "cut", root, what, split)
    if "rotated" in dataset.fields:
        return
    rows = [row for row in dataset.rows() if len(row.boxes)]
    every = np.concatenate([row.boxes for row in rows]) if rows else np.zeros((0, 4))
    edges = sum(bool((row.boxes[:, 2] == row.size[1]).any()) for row in rows)
    # With at least 20 boxes, it is hardly a coincidence that some touch the right border and none
    # the left one; the coordinates seem to start at 1.
    if len(every) >= 20 and every[:, :2].min() == 1 and edges:
        what = "no box starts at 0, some start at 1, and some end at the last pixel of the image"
        fix = "if the first pixel is 1, as in the original VOC, subtract 1; with XML files, "
        fix += 'reader={"type": "VOC", "one_based": True} does it'
        yield Finding("note", "one-based", root, what, split, fix)
