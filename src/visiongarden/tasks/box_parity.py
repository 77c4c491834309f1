"""Comparison of the boxes of an exported file with those of its model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from visiongarden.postprocess import Nms, suppression
from visiongarden.samples import Instances
from visiongarden.tasks.parity import MAX_PIXELS, MAX_SCORE, Parity, max_difference


def compare_boxes(
    expected: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    needs_nms: bool,
    nms: Nms | None,
) -> Parity:
    """Compare boxes and scores, and the detections that remain after suppression.

    Args:
        expected: "boxes" and "scores" of the model, batch first.
        actual: "boxes" and "scores" of the file.
        needs_nms: Whether boxes are suppressed.
        nms: Suppression; by default with the score of the twentieth best box as threshold, so that
            a model with little training has boxes to compare.
    """
    threshold = _twentieth_best(expected["scores"])
    suppress = suppression(needs_nms, nms or Nms(score_threshold=threshold))
    ours, others = (
        [suppress(*row) for row in zip(each["boxes"], each["scores"], strict=True)]
        for each in (expected, actual)
    )
    pairs = list(zip(ours, others, strict=True))
    return Parity(
        scores=max_difference(expected["scores"], actual["scores"]),
        images=len(pairs),
        found=sum(len(one) for one, _ in pairs),
        differing=sum(not _same(*pair, suppress.score_threshold) for pair in pairs),
        boxes=max_difference(expected["boxes"], actual["boxes"]),
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
