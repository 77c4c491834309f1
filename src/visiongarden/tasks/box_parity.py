"""Comparison of the boxes of an exported file with those of its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visiongarden.postprocess import Nms, suppression
from visiongarden.samples import Instances
from visiongarden.tasks.parity import (
    MAX_PIXELS,
    Parity,
    max_difference,
    score_tolerance,
    without_rounding,
)


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
    tolerances: dict[str, Any] = {
        "boxes": MAX_PIXELS,
        "scores": score_tolerance(expected["scores"]),
    }
    compared = {
        name: without_rounding(expected[name], actual[name], tolerance)
        for name, tolerance in tolerances.items()
    }
    ours, others = (
        [suppress(*row) for row in zip(each["boxes"], each["scores"], strict=True)]
        for each in (expected, compared)
    )
    pairs = list(zip(ours, others, strict=True))
    return Parity(
        scores=max_difference(expected["scores"], actual["scores"]),
        images=len(pairs),
        found=sum(len(one) for one, _ in pairs),
        differing=sum(not _same(*pair) for pair in pairs),
        boxes=max_difference(expected["boxes"], actual["boxes"]),
    )


def _twentieth_best(scores: np.ndarray) -> float:
    best = np.sort(scores.max(axis=-1), axis=-1)
    return float(best[:, -20:].min(axis=-1).max(initial=0))


def _same(one: Instances, other: Instances) -> bool:
    """Return whether both have the same boxes of the same classes."""
    sides = [tuple(map(np.asarray, (s.boxes, s.classes))) for s in (one, other)]
    for own, (boxes, classes) in (sides, sides[::-1]):
        for box, index in zip(*own, strict=True):
            near = np.abs(boxes - box).max(axis=1, initial=0) <= MAX_PIXELS
            if not (near & (classes == index)).any():
                return False
    return True
