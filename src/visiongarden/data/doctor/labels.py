"""What the labels of a data set show: boxes, classes, ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.faults import Faults, Finding
from visiongarden.types import ClassMap, Example

ASPECT = 20.0
"""One side so many times the other is rarely meant."""

_SAME = 1.0
"""Pixels by which two boxes may differ and be the same."""


def of_boxes(dataset: DetectionDataset, split: str, stride: int, canvas: int) -> Iterator[Finding]:
    """Boxes that are there twice, tiny, or of an extreme shape; images without any.

    Args:
        dataset: what is sound in a split.
        split: its name.
        stride: of the finest feature map, pixels of the canvas.
        canvas: longest side to which images are scaled for the model.
    """
    for example in dataset:
        where = str(example.path)
        if not len(example.boxes):
            yield Finding("note", "empty", where, "no box", split)
            continue
        yield from _twice(example, dataset.class_map, where, split)
        sides = example.boxes[:, 2:] - example.boxes[:, :2]
        scale = min(canvas / max(example.size or (canvas,)), 1.0)
        for i in np.flatnonzero(sides.max(axis=1) * scale < stride):
            size = " × ".join(f"{v:.1f}" for v in sides[i] * scale)
            what = f"box {_box(example, i)} is {size} pixels where the longest side is {canvas}"
            yield Finding(
                "warning", "tiny", where, f"{what}: less than one stride, {stride}", split
            )
        ratios = sides.max(axis=1) / np.maximum(sides.min(axis=1), 1e-6)
        for i in np.flatnonzero(ratios >= ASPECT):
            what = f"box {_box(example, i)}: one side is {ratios[i]:.0f} times the other"
            yield Finding("warning", "aspect", where, what, split)


def _twice(example: Example, class_map: ClassMap, where: str, split: str) -> Iterator[Finding]:
    boxes = example.boxes
    for i, first in duplicates(boxes):
        names = [class_map.names[int(example.classes[k])] for k in (first, i)]
        if names[0] == names[1]:
            what = f"box {_box(example, i)}, {names[0]}, is there twice"
            yield Finding("warning", "duplicate-box", where, what, split)
        else:
            what = f"box {_box(example, i)} is {names[0]} and {names[1]}"
            yield Finding("warning", "two-classes", where, what, split)


def duplicates(boxes: np.ndarray) -> list[tuple[int, int]]:
    """(later, first) for each box that another one equals to a pixel."""
    order = np.argsort(boxes[:, 0], kind="stable")
    found: dict[int, int] = {}
    for position, i in enumerate(order):
        for j in order[position + 1 :]:
            if boxes[j, 0] - boxes[i, 0] > _SAME:
                break
            if np.abs(boxes[i] - boxes[j]).max() <= _SAME:
                found.setdefault(max(int(i), int(j)), min(int(i), int(j)))
    return sorted(found.items())


def _box(example: Example, index: Any) -> str:
    return "(" + ", ".join(f"{v:g}" for v in example.boxes[index].round(1)) + ")"


def of_ids(faults: Faults, class_map: ClassMap, split: str) -> Iterator[Finding]:
    """Ids that are all one too high or too low, or look so."""
    seen = {i for i in faults.ids if isinstance(i, int) and not isinstance(i, bool)}
    known = set(class_map.ids)
    if not seen:
        return
    low, high = min(known), max(known)
    outside = seen - known
    said = f"the labels use {_range(seen)}, the class map has {_range(known)}"
    for step, direction in ((1, "high"), (-1, "low")):
        shifted = {i - step for i in seen}
        if outside and shifted <= known and not seen <= known:
            what = f"class ids seem to be one too {direction}: {said}"
            yield Finding("error", "off-by-one", str(faults.root), what, split)
            return
    unused = known - seen
    for end in (low, high):
        if unused == {end} and len(known) >= 4 and not outside:
            name = class_map.names[class_map.ids.index(end)]
            what = f"class {end} ({name}) never occurs, though all others do: ids shifted by one?"
            yield Finding("warning", "off-by-one", str(faults.root), what, split)


def _range(ids: set[int]) -> str:
    ordered = sorted(ids)
    if len(ordered) == ordered[-1] - ordered[0] + 1:
        return f"{ordered[0]} to {ordered[-1]}"
    return ", ".join(map(str, ordered[:12])) + (" …" if len(ordered) > 12 else "")


def of_classes(datasets: Mapping[str, DetectionDataset], root: str) -> Iterator[Finding]:
    """Classes that occur in some splits only, or nowhere; names that differ by a hair."""
    counts = {
        split: Counter(
            dataset.class_map.names[int(i)] for example in dataset for i in example.classes
        )
        for split, dataset in datasets.items()
    }
    names = list(dict.fromkeys(n for d in datasets.values() for n in d.class_map.names))
    for name in names:
        where = [split for split in counts if counts[split][name]]
        if not where:
            yield Finding("warning", "unused-class", root, f"class {name!r} has no box at all")
        elif len(where) < len(counts):
            missing = ", ".join(split for split in counts if split not in where)
            what = f"class {name!r} occurs in {', '.join(where)}, not in {missing}"
            yield Finding("warning", "split-class", root, what)
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault("".join(c for c in name.casefold() if c.isalnum()), []).append(name)
    for group in alike.values():
        if len(group) > 1:
            what = f"classes {', '.join(map(repr, group))} differ in case, space or signs alone"
            yield Finding("warning", "similar-names", root, what)


def of_corners(dataset: DetectionDataset, faults: Faults, split: str) -> Iterator[Finding]:
    """Corners given as sizes; corners that count from 1; how many boxes were cut."""
    root = str(faults.root)
    outside = sum(finding.kind == "outside" for finding in faults.found)
    if outside and faults.corner_like >= 0.9 * outside:
        what = "boxes (left, top, width, height) that leave the image would all fit as corners"
        yield Finding("error", "corners", root, f"{what}: (x1, y1, x2, y2)?", split)
    if faults.one_pixel:
        what = f"{faults.one_pixel} boxes stood over the border by less than a pixel, and are cut"
        yield Finding("note", "cut", root, what, split)
    boxes = [example.boxes for example in dataset if len(example.boxes)]
    every = np.concatenate(boxes) if boxes else np.zeros((0, 4))
    edges = sum(bool((e.boxes[:, 2] == e.size[1]).any()) for e in dataset if e.size)
    if len(every) >= 20 and every[:, :2].min() == 1 and edges:
        what = "no box starts at 0 and some at 1, while others end at the image's last pixel"
        fix = "read(…, one_based=True) if the first pixel is 1, as in the original VOC"
        yield Finding("note", "one-based", root, f"{what}: {fix}", split)
