"""Comparison of the boxes of an exported file with those of its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visiongarden.postprocess import Nms, suppression
from visiongarden.samples import Instances
from visiongarden.tasks.parity import (
    MAX_PIXELS,
    MAX_SCORE,
    Parity,
    max_difference,
    score_tolerance,
    without_rounding,
)

_LARGE = 400
"""Longest side in pixels of a box whose coordinates differ by at most `MAX_PIXELS`."""
_MAX_REORDERED = 1000
"""Rows of an image whose order is compared; if more of them differ, it is not by their order."""


def in_order_of(
    expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the arrays of a file with their rows in the order of those of the model.

    The order of rows has no meaning. A graph that selects detections sorts them by score, and
    rounding decides on the order of nearly equal scores.

    Args:
        expected: "boxes", "scores" and further arrays of the model, batch first.
        actual: Arrays of the file.
    """
    if any(expected[name].shape != actual[name].shape for name in ("boxes", "scores")):
        return dict(actual)
    count = expected["boxes"].shape[1]
    order = np.stack(
        [
            _order(_image_of(expected, image), _image_of(actual, image))
            for image in range(len(expected["boxes"]))
        ]
    )
    if (order == np.arange(count)).all():
        return dict(actual)
    return {
        name: np.take_along_axis(a, order.reshape(*order.shape, *(1,) * (a.ndim - 2)), axis=1)
        if a.shape[:2] == order.shape
        else a
        for name, a in actual.items()
    }


def _image_of(arrays: Mapping[str, np.ndarray], image: int) -> dict[str, np.ndarray]:
    return {name: arrays[name][image] for name in ("boxes", "scores")}


def _order(expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return for each row of one image which row of the file is the same, or its own."""
    order = np.arange(len(expected["boxes"]))
    differing = np.flatnonzero(~_equal(expected, actual, order, order))
    if len(differing) > _MAX_REORDERED:
        return order
    free = differing
    unmatched = []
    for row in differing:
        same = np.flatnonzero(_equal(expected, actual, row, free))
        if len(same):
            order[row], free = free[same[0]], np.delete(free, same[0])
        else:
            unmatched.append(row)
    order[unmatched] = free
    return order


def _equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], a: Any, b: Any) -> Any:
    """Return whether rows `a` of the first and rows `b` of the second are equal up to rounding."""
    boxes = one["boxes"][a], other["boxes"][b]
    scores = np.abs(one["scores"][a] - other["scores"][b]).max(axis=-1)
    return (_pixels_apart(*boxes).max(axis=-1) <= MAX_PIXELS) & (scores <= MAX_SCORE)


def _pixels_apart(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Return the differences of coordinates, (..., 4), in pixels.

    Those of boxes with sides of more than `_LARGE` pixels are relative to that length: rounding of
    a prediction moves the sides of a box in proportion to its size, which may be several times that
    of the image.
    """
    sides = (expected[..., 2:4] - expected[..., :2]).max(axis=-1, keepdims=True)
    return np.asarray(np.abs(expected - actual) / np.maximum(sides / _LARGE, 1.0))


def compare_boxes(
    expected: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    needs_nms: bool = True,
    nms: Nms | None = None,
) -> Parity:
    """Compare boxes and scores, and the detections that remain after suppression.

    Suppression decides by order: of two boxes with nearly equal scores, rounding chooses which one
    remains. Boxes and scores of the file that are within the tolerance therefore count as those of
    the model, so that only larger differences can change what remains.

    Args:
        expected: "boxes" and "scores" of the model, batch first.
        actual: "boxes" and "scores" of the file, in the same order.
        needs_nms: Whether boxes are suppressed.
        nms: Suppression; by default with the score of the twentieth best box as threshold, so that
            a model with little training has boxes to compare.
    """
    threshold = _twentieth_best(expected["scores"])
    suppress = suppression(needs_nms, nms or Nms(score_threshold=threshold))
    apart = _pixels_apart(expected["boxes"], actual["boxes"])
    scores = expected["scores"], actual["scores"]
    compared = {
        # Not `> MAX_PIXELS`: a NaN is not equal to anything.
        "boxes": np.where(apart <= MAX_PIXELS, expected["boxes"], actual["boxes"]),
        "scores": without_rounding(*scores, score_tolerance(scores[0])),
    }
    ours, others = (
        [suppress(*row) for row in zip(each["boxes"], each["scores"], strict=True)]
        for each in (expected, compared)
    )
    pairs = list(zip(ours, others, strict=True))
    return Parity(
        scores=max_difference(*scores),
        images=len(pairs),
        found=sum(len(one) for one, _ in pairs),
        differing=sum(not _same(*pair) for pair in pairs),
        boxes=float(apart.max(initial=0)),
    )


def _twentieth_best(scores: np.ndarray) -> float:
    """Return the highest score threshold that keeps the twenty best boxes of some image."""
    best = np.sort(scores.max(axis=-1), axis=-1)
    found = best[:, -20:].min(axis=-1).max(initial=0)
    # Slightly lower: a kept box must exceed the threshold, and many scores may be equal.
    return max(float(np.nextafter(found, found.dtype.type(-1))), 0.0)


def _same(one: Instances, other: Instances) -> bool:
    """Return whether both have the same boxes of the same classes."""
    sides = [tuple(map(np.asarray, (s.boxes, s.classes))) for s in (one, other)]
    for own, (boxes, classes) in (sides, sides[::-1]):
        for box, index in zip(*own, strict=True):
            near = _pixels_apart(box, boxes).max(axis=1, initial=0) <= MAX_PIXELS
            if not (near & (classes == index)).any():
                return False
    return True
