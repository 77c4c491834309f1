"""Selection of the best boxes without suppression, for heads that predict each object once."""

from __future__ import annotations

import numpy as np
from pydantic import PositiveInt

from visiongarden.postprocess.nms import Nms, Share, Suppression, best_candidates


class TopK(Suppression):
    """Selection of the boxes with the highest scores, whether they overlap or not.

    Attributes:
        score_threshold: Boxes with this score or less are removed first.
        max_detections: Maximum number of detections per image.
        multi_label: Whether a box is one candidate for each class above the threshold; otherwise it
            is one for its best class.
    """

    score_threshold: Share = 0.25
    max_detections: PositiveInt = 300
    multi_label: bool = False

    def selected(
        self, boxes: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows of the detections, and their boxes, scores and classes."""
        return best_candidates(
            boxes, scores, self.score_threshold, self.max_detections, self.multi_label
        )


def suppression(needs_nms: bool, nms: Nms) -> Suppression:
    """Return `nms`, or `TopK` with the same limits.

    Args:
        needs_nms: Whether boxes of one object overlap, see `Decoding.needs_nms`.
        nms: Non-maximum suppression with the thresholds to use.
    """
    if needs_nms:
        return nms
    return TopK(
        score_threshold=nms.score_threshold,
        max_detections=nms.max_detections,
        multi_label=nms.multi_label,
    )
