"""Checks of the keypoints of objects."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import TOLERANCE, Finding
from visiongarden.data.rows import Row

FAR = 0.5
"""Distance of a keypoint from its box, as a fraction of the box's longer side, that is reported."""

_SIDE = re.compile(r"(?i)left|right|(?:^|[\W_])[lr](?:$|[\W_])")


def counts_of_points(dataset: Dataset) -> tuple[int, np.ndarray]:
    """Return the number of objects with a labeled keypoint, and that of each point int64 (k,)."""
    found = [row.keypoints[..., 2] > 0 for row in dataset.rows() if row.keypoints is not None]
    if not found:
        return 0, np.zeros(0, np.int64)
    labeled = np.concatenate(found)
    return int(labeled.any(axis=1).sum()), labeled.sum(axis=0)


def of_keypoints(dataset: Dataset, split: str) -> Iterator[Finding]:
    """Find implausible keypoints, points that are never labeled, and unknown pairs.

    Args:
        dataset: valid part of a split.
        split: name of the split.
    """
    if "keypoints" not in dataset.fields:
        return
    for row in dataset.rows():
        yield from _of_row(row, dataset.scheme.names, split)
    root = str(dataset.root)
    posed, points = counts_of_points(dataset)
    for i in np.flatnonzero(points == 0).tolist() if posed else ():
        name = _name(i, dataset.scheme.names)
        what = f"keypoint {name} is not labeled in any of {posed:,} objects with keypoints"
        yield Finding("warning", "keypoint-never", root, what, split)
    names = dataset.scheme.names
    sided = [name for name in names if _SIDE.search(name)]
    if dataset.scheme.pairs is None and sided:
        what = (
            f"{', '.join(map(repr, sided[:4]))} name a side, but it is not known which points are "
            "left and right of each other, so images are not mirrored"
        )
        yield Finding("warning", "keypoint-pairs", root, what, split)


def _of_row(row: Row, names: tuple[str, ...], split: str) -> Iterator[Finding]:
    if row.keypoints is None:
        return
    height, width = row.size
    points = row.keypoints[..., :2]
    labeled = row.keypoints[..., 2] > 0
    zero = labeled & (points == 0).all(axis=-1)
    beyond = np.maximum(-points, points - (width, height)).max(axis=-1)
    outside = labeled & (beyond > TOLERANCE)
    box = row.upright
    low, high = box[:, None, :2], box[:, None, 2:]
    reach = (high - low).max(axis=-1) * FAR
    away = np.maximum(low - points, points - high).max(axis=-1)
    far = labeled & ~outside & ~zero & (away > reach)
    for found, kind, text in (
        (zero, "keypoint-zero", "is labeled at (0, 0), where tools put points without a label"),
        (outside, "keypoint-outside", f"is outside the image of {width} × {height} pixels"),
        (far, "keypoint-box", "is far outside the box of its object"),
    ):
        for i, point in np.argwhere(found).tolist():
            x, y = points[i, point].tolist()
            what = f"keypoint {_name(point, names)} of object {i + 1} at ({x:g}, {y:g})"
            if kind == "keypoint-zero":
                what = f"keypoint {_name(point, names)} of object {i + 1}"
            yield Finding("warning", kind, str(row.path), f"{what} {text}", split)


def _name(index: int, names: tuple[str, ...]) -> str:
    return repr(names[index]) if names else str(index)
