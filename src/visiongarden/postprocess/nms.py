"""Non-maximum suppression on the host: exact, greedy, class by class."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from visiongarden.config import Value
from visiongarden.types import Detections, ImageSize, Placement

Share = Annotated[float, Field(ge=0, le=1)]


class Nms(Value):
    """Keeps the best of boxes that overlap.

    Attributes:
        score_threshold: boxes below it are left out first.
        iou_threshold: a box that overlaps a better one of its class by more is left out.
        max_detections: boxes an image keeps at most.
        candidates: best boxes of an image that are looked at.
        class_agnostic: let boxes of different classes suppress each other.
        multi_label: a box counts once for each class above the threshold, as in COCO's protocol;
            otherwise only for its best class.
    """

    score_threshold: Share = 0.25
    iou_threshold: Share = 0.7
    max_detections: PositiveInt = 300
    candidates: PositiveInt = 3000
    class_agnostic: bool = False
    multi_label: bool = False

    def __call__(self, boxes: np.ndarray, scores: np.ndarray) -> Detections:
        """The detections of one image, best first.

        Args:
            boxes: float32 (n, 4), xyxy.
            scores: float32 (n, classes), 0 to 1.
        """
        boxes, scores, classes = best_candidates(
            boxes, scores, self.score_threshold, self.candidates, self.multi_label
        )
        if not len(scores):
            return Detections(boxes, scores, classes)
        apart = boxes.astype(np.float64)
        if not self.class_agnostic:
            # Classes laid side by side never overlap, so one pass serves all of them.
            step = float(apart.max() - apart.min()) + 1
            apart = apart + (classes * step)[:, None]
        kept = _greedy(apart, self.iou_threshold, self.max_detections)
        return Detections(boxes[kept], scores[kept], classes[kept])


def best_candidates(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, most: int, multi_label: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and classes of the `most` best above `threshold`, best first.

    Args:
        boxes: float32 (n, 4), xyxy.
        scores: float32 (n, classes), 0 to 1.
        threshold: least score, itself left out.
        most: how many are kept at most.
        multi_label: every class above the threshold counts, not only a box's best.
    """
    if multi_label:
        rows, classes = np.nonzero(scores > threshold)
        scores = scores[rows, classes]
    else:
        best = scores.argmax(axis=1) if scores.shape[1] else np.zeros(len(scores), np.int64)
        top = scores[np.arange(len(scores)), best] if scores.size else np.zeros(0, np.float32)
        rows = np.nonzero(top > threshold)[0]
        classes, scores = best[rows], top[rows]
    order = np.argsort(-scores, kind="stable")[:most]
    return (
        boxes[rows[order]].astype(np.float32),
        scores[order].astype(np.float32),
        classes[order].astype(np.int32),
    )


def _greedy(boxes: np.ndarray, threshold: float, most: int) -> np.ndarray:
    """Positions kept of boxes that are sorted, best first."""
    x1, y1, x2, y2 = boxes.T
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        first, left = left[0], left[1:]
        kept.append(first)
        width = np.minimum(x2[first], x2[left]) - np.maximum(x1[first], x1[left])
        height = np.minimum(y2[first], y2[left]) - np.maximum(y1[first], y1[left])
        inter = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[first] + areas[left] - inter
        left = left[inter <= threshold * union]
    return np.array(kept, np.int64)


def to_original(found: Detections, placement: Placement, size: ImageSize) -> Detections:
    """Detections in pixels of the network's input -> pixels of the original image, clipped to it.

    Args:
        found: boxes on the canvas.
        placement: where the image lies on the canvas.
        size: (height, width) of the original image.
    """
    boxes = placement.undo(found.boxes)
    height, width = size
    limits = np.array([width, height, width, height], np.float32)
    return Detections(np.clip(boxes, 0, limits), found.scores, found.classes)
