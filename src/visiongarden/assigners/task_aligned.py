"""Task-aligned assignment: Feng et al. 2021 (TOOD), section 3.3."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops
from pydantic import NonNegativeFloat, PositiveInt

from visiongarden.config import Value
from visiongarden.ops import Cells, one_hot, pairwise_iou, power, rows_of

_LEAST_IOU = 1e-3


class Assignment(NamedTuple):
    """What each of n predictions shall learn.

    Attributes:
        boxes: (batch, n, 4), xyxy pixels; meaningless where `quality` is 0.
        classes: (batch, n) int32; meaningless where `quality` is 0.
        quality: (batch, n), 0 to 1: the normalised alignment; 0 for background.
    """

    boxes: Any
    classes: Any
    quality: Any


class TaskAligned(Value):
    """Each box takes the cells inside it that classify and place it best together.

    t = score**alpha * IoU**beta (equation 3); the `top_k` cells of highest t are its positives; a
    cell that two boxes want goes to the one it overlaps more. Within a box t is scaled so that its
    highest value is the box's highest IoU (section 3.3.1); that is what the class score shall be.

    A box that is smaller than the finest cell, and might lie between all centres, is widened to one
    cell for the choice of cells, so that it is never without a positive.

    Attributes:
        top_k: cells a box takes at most.
        alpha: weight of the class score.
        beta: weight of the overlap.
    """

    top_k: PositiveInt = 10
    alpha: NonNegativeFloat = 0.5
    beta: NonNegativeFloat = 6.0

    def __call__(
        self, scores: Any, predicted: Any, cells: Cells, boxes: Any, classes: Any
    ) -> Assignment:
        """Assigns; passes no gradient.

        Args:
            scores: (batch, n, classes), 0 to 1.
            predicted: (batch, n, 4), xyxy pixels.
            cells: the n cells.
            boxes: (batch, m, 4), xyxy pixels.
            classes: (batch, m) int32; -1 where padded.
        """
        boxes, classes = ops.convert_to_tensor(boxes), ops.convert_to_tensor(classes)
        scores, predicted = (
            ops.stop_gradient(ops.convert_to_tensor(x)) for x in (scores, predicted)
        )
        overlap = pairwise_iou(boxes, predicted)
        # One-hot rows pick each box's class out of the scores: (batch, m, n).
        hot = one_hot(classes, scores.shape[-1])
        likely = ops.matmul(hot, ops.transpose(scores, (0, 2, 1)))
        aligned = power(ops.maximum(likely, 1e-9), self.alpha) * power(
            ops.maximum(overlap, _LEAST_IOU), self.beta
        )
        aligned = ops.where(self._inside(cells, boxes, classes), aligned, 0.0)
        top = ops.top_k(aligned, min(self.top_k, aligned.shape[-1]), sorted=True)[0]
        chosen = (aligned >= top[..., -1:]) & (aligned > 0)
        owner = ops.argmax(ops.where(chosen, overlap + 1e-6, 0.0), axis=1)
        mine = ops.equal(ops.expand_dims(owner, 1), ops.arange(boxes.shape[1])[None, :, None])
        kept = ops.cast(chosen & mine, "float32")
        aligned = aligned * kept
        best = ops.max(aligned, axis=-1, keepdims=True)
        best_overlap = ops.max(overlap * kept, axis=-1, keepdims=True)
        quality = ops.max(aligned / ops.maximum(best, 1e-30) * best_overlap, axis=1)
        return Assignment(
            rows_of(boxes, owner), rows_of(classes, owner), ops.stop_gradient(quality)
        )

    def _inside(self, cells: Cells, boxes: Any, classes: Any) -> Any:
        """Whether each centre lies in each box: (batch, m, n)."""
        least = float(cells.strides.min()) / 2 * (1 + 1e-6)
        centres = ops.convert_to_tensor(cells.centres)
        within = ops.expand_dims(classes >= 0, -1)
        for axis in range(2):
            low, high = boxes[..., axis], boxes[..., axis + 2]
            half = ops.maximum((high - low) / 2, least)
            away = ops.abs(centres[:, axis] - ops.expand_dims((low + high) / 2, -1))
            within = within & (away <= ops.expand_dims(half, -1))
        return within
