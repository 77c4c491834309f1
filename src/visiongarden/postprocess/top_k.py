"""The best boxes of an image without suppression, for heads that find each object once."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import PositiveInt

from visiongarden.config import Value
from visiongarden.postprocess.nms import Nms, Share, best_candidates
from visiongarden.types import Detections


class TopK(Value):
    """Keeps the boxes of highest score, however they overlap.

    Attributes:
        score_threshold: boxes below it are left out first.
        max_detections: boxes an image keeps at most.
        multi_label: a box counts once for each class above the threshold.
    """

    score_threshold: Share = 0.25
    max_detections: PositiveInt = 300
    multi_label: bool = False

    def __call__(self, boxes: np.ndarray, scores: np.ndarray) -> Detections:
        """The detections of one image, best first.

        Args:
            boxes: float32 (n, 4), xyxy.
            scores: float32 (n, classes), 0 to 1.
        """
        kept = best_candidates(
            boxes, scores, self.score_threshold, self.max_detections, self.multi_label
        )
        return Detections(*kept)


def thinning(decode: Any, nms: Nms) -> Nms | TopK:
    """What thins out the boxes that a head's `decode` gives: `nms`, or its bounds alone.

    Args:
        decode: of a head; `needs_nms` says whether overlapping boxes are left; without it they are.
        nms: the bounds wanted.
    """
    if getattr(decode, "needs_nms", True):
        return nms
    return TopK(
        score_threshold=nms.score_threshold,
        max_detections=nms.max_detections,
        multi_label=nms.multi_label,
    )
