"""Comparison of the boxes of an exported file with those of its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.postprocess import Nms, suppression
from visiongarden.samples import Instances
from visiongarden.tasks.parity import MAX_PIXELS, MAX_SCORE, Parity, max_difference


def compare_boxes(
    expected: Sequence[np.ndarray], actual: Sequence[np.ndarray], decoding: Any, nms: Nms | None
) -> Parity:
    """Compare boxes and scores, and the detections that remain after suppression.

    Args:
        expected: Boxes and scores of the model, batch first.
        actual: Boxes and scores of the file.
        decoding: Decoding of the head, which states whether its boxes are suppressed.
        nms: Suppression; by default with the score of the twentieth best box as threshold, so that
            a model with little training has boxes to compare.
    """
    suppress = suppression(decoding, nms or Nms(score_threshold=_twentieth_best(expected[1])))
    pairs = [
        (suppress(*one), suppress(*other))
        for one, other in zip(zip(*expected, strict=True), zip(*actual, strict=True), strict=True)
    ]
    return Parity(
        scores=max_difference(expected[1], actual[1]),
        images=len(pairs),
        found=sum(len(one) for one, _ in pairs),
        differing=sum(not _same(*pair, suppress.score_threshold) for pair in pairs),
        boxes=max_difference(expected[0], actual[0]),
    )


def _twentieth_best(scores: np.ndarray) -> float:
    best = np.sort(scores.max(axis=-1), axis=-1)
    return float(best[:, -20:].min(axis=-1).max(initial=0))


def _same(one: Instances, other: Instances, threshold: float) -> bool:
    """Return whether both have the same boxes of the same classes.

    A box whose score is within the tolerance of the threshold may be missing in either.
    """
    sides = [tuple(map(np.asarray, (s.boxes, s.scores, s.classes))) for s in (one, other)]
    for own, (boxes, _, classes) in (sides, sides[::-1]):
        for box, score, index in zip(*own, strict=True):
            # The other side may have rounded this score below the threshold.
            if score <= threshold + MAX_SCORE:
                continue
            near = np.abs(boxes - box).max(axis=1, initial=0) <= MAX_PIXELS
            if not (near & (classes == index)).any():
                return False
    return True
