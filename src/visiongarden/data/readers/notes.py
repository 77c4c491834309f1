"""Notes on labels of a split that are not used, or are used in a way that may be unexpected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.terminal import counted

_POSE_SHARE = 0.5
"""Minimum share of polygons that look like poses before a warning is issued."""


def notes_of(errors: ErrorList, split: str, images: int) -> Iterator[Finding]:
    """Iterate over the notes and warnings about one split; none of them is an error.

    Args:
        errors: Counters that reading filled.
        split: Name of the split.
        images: Number of images of the split.
    """
    root = str(errors.root)
    yield from (replace(finding, split=split) for finding in errors.noted)
    if errors.searched:
        yield Finding("warning", "unlabeled", root, errors.searched, split)
    elif errors.unlabeled:
        count = len(errors.unlabeled)
        what = f"{count} of {counted(images, 'image')} without a label file are used as background"
        level = "warning" if count > images / 2 else "note"
        yield Finding(level, "unlabeled", errors.unlabeled[0], what, split)
    for name, count in errors.unused.items():
        what = f"the {name} of {counted(count, 'object')} are not read; their boxes are used"
        yield Finding("note", "unused", root, what, split)
    if errors.keypoints:
        what = (
            f"the keypoints of {counted(errors.keypoints, 'object')} are read, but no head is "
            "trained on keypoints yet"
        )
        yield Finding("note", "keypoints", root, what, split)
    if errors.pose_like > _POSE_SHARE * errors.polygons:
        what = (
            f"{errors.pose_like} of {errors.polygons} polygons begin with the center and size "
            "of a box around their other points; for pose labels, set kpt_shape in data.yaml, "
            "as kpt_shape: [17, 2]"
        )
        yield Finding("warning", "pose", root, what, split)
