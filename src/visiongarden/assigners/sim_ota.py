"""SimOTA, a dynamic top-k assignment: Ge et al. 2021 (YOLOX, arXiv 2107.08430), section 2.3."""

from __future__ import annotations

from typing import NamedTuple

from keras import ops
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from visiongarden.config import Value
from visiongarden.ops import Cells, one_hot, pairwise_iou, rows_of
from visiongarden.types import Tensor

_FAR = 1e6
"""Cost of a cell outside the central region of a box; above any real cost."""


class Matches(NamedTuple):
    """Training targets of n predictions.

    Attributes:
        boxes: (batch, n, 4), xyxy pixels; undefined where `taken` is 0.
        classes: (batch, n) int32; undefined where `taken` is 0.
        overlap: (batch, n), 0 to 1: IoU of prediction and box; 0 for background.
        taken: (batch, n), 1 for a positive, 0 for background.
    """

    boxes: Tensor
    classes: Tensor
    overlap: Tensor
    taken: Tensor


class SimOTA(Value):
    """Assign each box to the cells near its center with the lowest cost.

    The cost is the cross-entropy of the classes plus `box_weight` times -log IoU (equation 1). The
    number of cells per box is the sum of its `candidates` highest IoUs, rounded down, and at least
    1 (OTA, Ge et al. 2021, arXiv 2103.14259, "dynamic k estimation"). A cell that is selected for
    several boxes is assigned to the one with the lowest cost.

    Attributes:
        radius: half the side of the square region around a box's center, in strides of the level.
        candidates: number of IoUs that are summed, and maximum number of cells per box.
        box_weight: weight of the overlap in the cost.
    """

    radius: PositiveFloat = 2.5
    candidates: PositiveInt = 10
    box_weight: NonNegativeFloat = 3.0

    def __call__(
        self,
        logits: Tensor,
        objectness: Tensor,
        predicted: Tensor,
        cells: Cells,
        boxes: Tensor,
        classes: Tensor,
    ) -> Matches:
        """Assign the boxes; passes no gradient.

        Args:
            logits: (batch, n, classes), of the classes.
            objectness: (batch, n, 1), logits.
            predicted: (batch, n, 4), xyxy pixels.
            cells: the n cells.
            boxes: (batch, m, 4), xyxy pixels.
            classes: (batch, m) int32; -1 pads.
        """
        boxes, classes = ops.convert_to_tensor(boxes), ops.convert_to_tensor(classes)
        logits, objectness, predicted = (
            ops.stop_gradient(ops.convert_to_tensor(x)) for x in (logits, objectness, predicted)
        )
        near = self._near(cells, boxes, classes)
        overlap = ops.where(near, pairwise_iou(boxes, predicted), 0.0)
        cost = _class_cost(logits, objectness, classes)
        cost = cost - self.box_weight * ops.log(overlap + 1e-8)
        cost = ops.where(near, cost, _FAR)
        candidates = min(self.candidates, cost.shape[-1])
        count = ops.cast(
            ops.sum(ops.top_k(overlap, candidates)[0], axis=-1, keepdims=True), "int32"
        )
        lowest = -ops.top_k(-cost, candidates, sorted=True)[0]
        # The number of cells differs per box, and shapes are static: instead of the k best cells,
        # all cells are selected whose cost does not exceed the k-th lowest one.
        limit = ops.take_along_axis(lowest, ops.clip(count - 1, 0, candidates - 1), axis=-1)
        chosen = near & (cost <= limit)
        owner = ops.argmin(ops.where(chosen, cost, 2 * _FAR), axis=1)
        mine = ops.equal(ops.expand_dims(owner, 1), ops.arange(boxes.shape[1])[None, :, None])
        kept = ops.cast(chosen & mine, "float32")
        return Matches(
            rows_of(boxes, owner),
            rows_of(classes, owner),
            ops.stop_gradient(ops.max(overlap * kept, axis=1)),
            ops.stop_gradient(ops.max(kept, axis=1)),
        )

    def _near(self, cells: Cells, boxes: Tensor, classes: Tensor) -> Tensor:
        """Return whether each cell's center is in each box's central region, (batch, m, n)."""
        middle = ops.expand_dims((boxes[..., :2] + boxes[..., 2:]) / 2, 2)
        away = ops.abs(ops.convert_to_tensor(cells.centers) - middle)
        reach = ops.convert_to_tensor(self.radius * cells.strides[:, None])
        return ops.all(away < reach, axis=-1) & ops.expand_dims(classes >= 0, -1)


def _class_cost(logits: Tensor, objectness: Tensor, classes: Tensor) -> Tensor:
    """Return the cross-entropy of each prediction with each box's class, (batch, m, n).

    The probability is the geometric mean of class probability and objectness.
    """
    probability = ops.sqrt(ops.sigmoid(logits) * ops.sigmoid(objectness))
    probability = ops.clip(probability, 1e-7, 1 - 1e-7)
    yes, no = -ops.log(probability), -ops.log(1 - probability)
    # The cost of all classes as negatives, corrected for the box's class by a matrix product, which
    # avoids a tensor (batch, m, n, classes).
    hot = one_hot(classes, logits.shape[-1])
    own = ops.matmul(hot, ops.transpose(yes - no, (0, 2, 1)))
    return own + ops.expand_dims(ops.sum(no, axis=-1), 1)
