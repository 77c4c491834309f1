"""Darknet's non-maximum suppression: greedy and per class, by IoU or distance-IoU."""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.config import Value
from visiongarden.postprocess.nms import Share, detected, finite
from visiongarden.samples import Instances


class DarknetNms(Value):
    """Darknet's greedy non-maximum suppression.

    Every class of a box whose score exceeds the threshold is a separate detection, and classes are
    suppressed independently.

    Attributes:
        score_threshold: Minimum score, exclusive.
        iou_threshold: Overlap with a higher-scoring box of the same class above which a box is
            removed.
        power: If set, the overlap is the distance-IoU, IoU - (d² / c²) ** power, where d is the
            distance of the box centers and c the diagonal of the smallest box that encloses both
            (Zheng et al. 2019, arXiv 1911.08287, where the power is 1). If None, it is the IoU.
    """

    score_threshold: Share = 0.25
    iou_threshold: Share = 0.45
    power: float | None = None

    @classmethod
    def of(cls, settings: Any, score: float, overlap: float) -> DarknetNms:
        """Create the suppression that a prediction layer's section specifies.

        Args:
            settings: Settings of the layer, with `nms_kind` and `beta_nms`; an empty mapping
                selects IoU.
            score: Minimum score, exclusive.
            overlap: Overlap threshold.
        """
        # Despite its name, Darknet's "greedynms" uses the distance too, with a fixed power.
        powers = {"greedynms": 0.6, "diounms": settings.get("beta_nms", 0.6)}
        power = powers.get(settings.get("nms_kind", "default"))
        return cls(score_threshold=score, iou_threshold=overlap, power=power)

    def __call__(self, boxes: np.ndarray, scores: np.ndarray) -> Instances:
        """Suppress the overlapping boxes of one image.

        Args:
            boxes: float32 array (n, 4), xyxy as fractions of the image's width and height. The
                distance term depends on these units.
            scores: float32 array (n, classes), 0 to 1.

        Returns:
            The detections in the same units, sorted by descending score.
        """
        rows, classes = np.nonzero(scores > self.score_threshold)
        values = scores[rows, classes]
        order = np.argsort(-values, kind="stable")
        rows, classes, values = rows[order], classes[order], values[order]
        finite(boxes[rows])
        kept = np.zeros(len(rows), bool)
        for each in np.unique(classes):
            indices = np.nonzero(classes == each)[0]
            kept[indices[self._greedy(boxes[rows[indices]].astype(np.float64))]] = True
        return detected(
            boxes[rows[kept]].astype(np.float32),
            values[kept].astype(np.float32),
            classes[kept].astype(np.int32),
        )

    def _greedy(self, boxes: np.ndarray) -> list[int]:
        left, kept = np.arange(len(boxes)), []
        while len(left):
            first, left = left[0], left[1:]
            kept.append(int(first))
            overlaps = self._overlaps(boxes[first], boxes[left])
            left = left[~(overlaps > self.iou_threshold)]
        return kept

    def _overlaps(self, box: np.ndarray, others: np.ndarray) -> np.ndarray:
        low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
        inter = np.prod(np.maximum(high - low, 0), axis=1)
        areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
        union = np.prod(box[2:] - box[:2]) + areas - inter
        iou = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
        if self.power is None:
            return iou
        around = np.maximum(box[2:], others[:, 2:]) - np.minimum(box[:2], others[:, :2])
        diagonal = np.sum(around**2, axis=1)
        centers = (others[:, :2] + others[:, 2:] - box[:2] - box[2:]) / 2
        share = np.divide(
            np.sum(centers**2, axis=1), diagonal, out=np.zeros_like(iou), where=diagonal > 0
        )
        return iou - share**self.power
