"""Greedy non-maximum suppression with NumPy, outside the graph."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from visiongarden.config import Value
from visiongarden.errors import NotFiniteError
from visiongarden.samples import Boxes, Instances
from visiongarden.types import ImageSize, Placement

Share = Annotated[float, Field(ge=0, le=1)]


class Suppression(Value):
    """Base class of the selections of detections; a subclass implements `selected`.

    Example:
        >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 8]], "float32")
        >>> scores = np.array([[0.6], [0.9]], "float32")
        >>> vg.postprocess.Nms().selected(boxes, scores)[0].tolist()
        [1]
    """

    def __call__(self, boxes: np.ndarray, scores: np.ndarray) -> Instances:
        """Return the detections of one image, best first.

        Args:
            boxes: float32 (n, 4), xyxy.
            scores: float32 (n, classes), 0 to 1.
        """
        return detected(*self.selected(boxes, scores)[1:])

    def selected(
        self, boxes: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows of the detections of one image, and their boxes, scores and classes.

        Args:
            boxes: float32 (n, 4), xyxy.
            scores: float32 (n, classes), 0 to 1.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `selected`")


class Nms(Suppression):
    """Greedy non-maximum suppression, class by class.

    Attributes:
        score_threshold: Boxes with this score or less are removed first.
        iou_threshold: A box is removed if its IoU with a better box of the same class is larger.
        max_detections: Maximum number of detections per image.
        candidates: Maximum number of boxes per image that enter the suppression, best first.
        class_agnostic: Whether boxes of different classes suppress each other.
        multi_label: Whether a box is one candidate for each class above the threshold, as in COCO's
            protocol; otherwise it is one for its best class.
    """

    score_threshold: Share = 0.25
    iou_threshold: Share = 0.7
    max_detections: PositiveInt = 300
    candidates: PositiveInt = 3000
    class_agnostic: bool = False
    multi_label: bool = False

    def selected(
        self, boxes: np.ndarray, scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows of the detections, and their boxes, scores and classes."""
        found = best_candidates(
            boxes, scores, self.score_threshold, self.candidates, self.multi_label
        )
        rows, boxes, scores, classes = found
        if not len(scores):
            return found
        # float64, because the shift below would cost float32 coordinates their last bits and so
        # change IoUs that are close to the threshold.
        shifted = boxes.astype(np.float64)
        if not self.class_agnostic:
            # Each class is shifted by more than the extent of all boxes, so boxes of different
            # classes never overlap and one pass handles all classes.
            step = float(shifted.max() - shifted.min()) + 1
            shifted = shifted + (classes * step)[:, None]
        kept = _greedy(shifted, self.iou_threshold, self.max_detections)
        return rows[kept], boxes[kept], scores[kept], classes[kept]


def detected(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> Instances:
    """Return the detections of one image, of which the size is not known yet.

    Args:
        boxes: float32 (n, 4), xyxy.
        scores: float32 (n,), 0 to 1, in descending order.
        classes: int32 (n,).
    """
    return Instances((0, 0), Boxes(boxes), classes, scores=scores)


def best_candidates(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, max_candidates: int, multi_label: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, boxes, scores and classes of the best candidates above a threshold.

    The best come first.

    Args:
        boxes: float32 (n, 4), xyxy.
        scores: float32 (n, classes), 0 to 1.
        threshold: Minimum score, exclusive.
        max_candidates: Maximum number of candidates.
        multi_label: Whether a box is a candidate for every class above the threshold instead of for
            its best class only.

    Raises:
        NotFiniteError: A coordinate of a candidate is infinite or NaN.
    """
    if multi_label:
        rows, classes = np.nonzero(scores > threshold)
        scores = scores[rows, classes]
    else:
        best = scores.argmax(axis=1) if scores.shape[1] else np.zeros(len(scores), np.int64)
        top = scores[np.arange(len(scores)), best] if scores.size else np.zeros(0, np.float32)
        rows = np.nonzero(top > threshold)[0]
        classes, scores = best[rows], top[rows]
    # Stable, so that equal scores give the same detections on every platform.
    order = np.argsort(-scores, kind="stable")[:max_candidates]
    return (
        rows[order],
        finite(boxes[rows[order]].astype(np.float32)),
        scores[order].astype(np.float32),
        classes[order].astype(np.int32),
    )


def finite(boxes: np.ndarray) -> np.ndarray:
    """Return the candidates' boxes, with which IoUs can be computed.

    Raises:
        NotFiniteError: A coordinate is infinite or NaN.
    """
    if not np.isfinite(boxes).all():
        raise NotFiniteError(
            "a box that the model predicts is not finite", fix="train with a lower learning rate"
        )
    return boxes


def _greedy(boxes: np.ndarray, threshold: float, max_detections: int) -> np.ndarray:
    """Return the positions of the boxes that are kept; `boxes` are sorted, best first."""
    x1, y1, x2, y2 = boxes.T
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < max_detections:
        first, left = left[0], left[1:]
        kept.append(first)
        width = np.minimum(x2[first], x2[left]) - np.maximum(x1[first], x1[left])
        height = np.minimum(y2[first], y2[left]) - np.maximum(y1[first], y1[left])
        inter = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[first] + areas[left] - inter
        # Multiplied instead of divided: boxes without area have a union of 0.
        left = left[inter <= threshold * union]
    return np.array(kept, np.int64)


def to_original(found: Instances, placement: Placement, size: ImageSize) -> Instances:
    """Convert detections from pixels of the network's input to pixels of the original image.

    Boxes are clipped to the image; all other fields are moved with them.

    Args:
        found: Detections on the canvas, the network's input.
        placement: Scale and offset of the image on the canvas.
        size: (height, width) of the original image.
    """
    moved: dict[str, Any] = {"size": size}
    if isinstance(found.boxes, Boxes):
        height, width = size
        limits = np.array([width, height, width, height], np.float32)
        moved["boxes"] = Boxes(np.clip(placement.undo(np.asarray(found.boxes)), 0, limits))
    fields = {"boxes": found.boxes, "masks": found.masks, "keypoints": found.keypoints}
    others = {n: v for n, v in fields.items() if v is not None and n not in moved}
    if others or found.data:
        matrix = np.linalg.inv(placement.matrix)
        moved |= {name: field.warp(matrix, size) for name, field in others.items()}
        moved["data"] = {
            name: column if isinstance(column, np.ndarray) else column.warp(matrix, size)
            for name, column in found.data.items()
        }
    return found.replace(**moved)
