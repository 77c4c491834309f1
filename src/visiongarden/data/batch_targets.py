"""Check the objects in batches of other libraries, which no reader has validated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from visiongarden.errors import UserError

_IGNORED = 255
_BORDER = 1.0
"""Pixels by which a box may exceed its image, as in `vg.read`."""


def check_targets(
    targets: Mapping[str, np.ndarray],
    size: tuple[int, ...],
    num_classes: int,
    where: str,
) -> None:
    """Check that classes exist and that boxes are corners in pixels of the images.

    A loss does not notice either: it learns wrong boxes, or no class.

    Args:
        targets: arrays by name; `boxes` (batch, n, 4) with `classes` (batch, n), -1 pads, and
            `semantic` (batch, height, width) are checked.
        size: (height, width) of the images.
        num_classes: number of classes of the model.
        where: name of the batch in errors.

    Raises:
        UserError: a class or a box is not valid.
    """
    if "semantic" in targets:
        ids = targets["semantic"]
        _check_classes(ids[ids != _IGNORED], num_classes, "semantic", where, "255, ignored")
    classes, boxes = targets.get("classes"), targets.get("boxes")
    if classes is None or classes.ndim != 2:
        return
    used = classes != -1
    _check_classes(classes[used], num_classes, "classes", where, "-1, a row without an object")
    if boxes is not None and boxes.shape == (*classes.shape, 4):
        _check_boxes(boxes[used], size, where)


def _check_classes(
    classes: np.ndarray, num_classes: int, name: str, where: str, other: str
) -> None:
    if not classes.size or (classes.min() >= 0 and classes.max() < num_classes):
        return
    wrong = classes.max() if classes.max() >= num_classes else classes.min()
    fix = None
    if classes.min() == 1 and classes.max() == num_classes:
        fix = f"{name} - 1: ids count from 0"
    raise UserError(
        f"{where} of data has the class {wrong:g} in {name!r}",
        rule=f"0 to {num_classes - 1}, or {other}",
        fix=fix or f"num_classes={int(wrong) + 1} in the head, if the model has that many classes",
    )


def _check_boxes(boxes: np.ndarray, size: tuple[int, ...], where: str) -> None:
    if not len(boxes):
        return
    height, width = size
    low, high = boxes[:, :2], boxes[:, 2:]
    outside = (low < -_BORDER) | (high > np.array([width, height]) + _BORDER)
    bad = ~(high > low).all(axis=1) | outside.any(axis=1)
    is_share = boxes.min() >= 0 and boxes.max() <= 1.0 and min(size) > 1
    if not bad.any() and not is_share:
        return
    first = boxes[int(np.argmax(bad))]
    fix = "pass corners, not center and size; rows without an object have the class -1"
    if is_share:
        fix = f"boxes * [{width}, {height}, {width}, {height}]"
    elif (high > low).all():
        fix = f"scale boxes with the images, to {height} × {width} pixels"
    raise UserError(
        f"{where} of data has a box that is not inside its image",
        rule=f"x1, y1, x2, y2 in pixels, x1 < x2 up to {width}, y1 < y2 up to {height}",
        received=", ".join(f"{float(value):g}" for value in first),
        fix=fix,
    )
