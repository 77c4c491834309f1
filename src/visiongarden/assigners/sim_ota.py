"""SimOTA, a dynamic top-k assignment: Ge et al. 2021 (YOLOX, arXiv 2107.08430), section 2.3."""

from __future__ import annotations

from keras import ops
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from visiongarden.assigners.assigner import Assigner
from visiongarden.ops import one_hot, pairwise_iou, wide
from visiongarden.registry import register
from visiongarden.types import BACKGROUND, Assignment, Candidates, Targets, Tensor

_FAR = 1e6
"""Cost of a cell outside the central region of a box; above any real cost."""


@register
class SimOTA(Assigner):
    """Assign each box to the cells near its center with the lowest cost.

    The cost is the cross-entropy of the classes plus `box_weight` times -log IoU (equation 1). The
    number of cells per box is the sum of its `candidates` highest IoUs, rounded down, and at least
    1 (OTA, Ge et al. 2021, arXiv 2103.14259, "dynamic k estimation"). A cell that is selected for
    several boxes is assigned to the one with the lowest cost.

    Attributes:
        radius: half the side of the square region around a box's center, in strides of the level.
        candidates: number of IoUs that are summed, and maximum number of cells per box.
        box_weight: weight of the overlap in the cost.

    Example:
        >>> vg.assigners.SimOTA(radius=1.5).to_dict()
        {'type': 'SimOTA', 'radius': 1.5, 'candidates': 10, 'box_weight': 3.0}
    """

    radius: PositiveFloat = 2.5
    candidates: PositiveInt = 10
    box_weight: NonNegativeFloat = 3.0

    def __call__(self, candidates: Candidates, targets: Targets) -> Assignment:
        """Assign the objects of a batch.

        The scores are those of the classes times the objectness; the cost takes their square root.

        Returns:
            The assignment; the weight of a positive is 1.
        """
        boxes = ops.convert_to_tensor(targets["boxes"], dtype=wide())
        classes = ops.convert_to_tensor(targets["classes"])
        scores, predicted = (
            ops.stop_gradient(ops.convert_to_tensor(x))
            for x in (candidates.scores, candidates.boxes)
        )
        near = self._near(candidates, boxes, classes)
        overlap = ops.where(near, pairwise_iou(boxes, predicted), 0.0)
        cost = _class_cost(scores, classes)
        cost = cost - self.box_weight * ops.log(overlap + 1e-8)
        cost = ops.where(near, cost, _FAR)
        most = min(self.candidates, cost.shape[-1])
        count = ops.cast(ops.sum(ops.top_k(overlap, most)[0], axis=-1, keepdims=True), "int32")
        lowest = -ops.top_k(-cost, most, sorted=True)[0]
        # The number of cells differs per box, and shapes are static: instead of the k best cells,
        # all cells are selected whose cost does not exceed the k-th lowest one.
        limit = ops.take_along_axis(lowest, ops.clip(count - 1, 0, most - 1), axis=-1)
        chosen = near & (cost <= limit)
        owner = ops.argmin(ops.where(chosen, cost, 2 * _FAR), axis=1)
        mine = ops.equal(ops.expand_dims(owner, 1), ops.arange(boxes.shape[1])[None, :, None])
        kept = ops.cast(chosen & mine, wide())
        weight = ops.stop_gradient(ops.max(kept, axis=1))
        index = ops.where(weight > 0, ops.cast(owner, "int32"), BACKGROUND)
        return Assignment(index, weight)

    def _near(self, candidates: Candidates, boxes: Tensor, classes: Tensor) -> Tensor:
        """Return whether each cell's center is in each box's central region, (batch, m, n)."""
        middle = ops.expand_dims((boxes[..., :2] + boxes[..., 2:]) / 2, 2)
        away = ops.abs(ops.convert_to_tensor(candidates.points) - middle)
        reach = ops.convert_to_tensor(self.radius * candidates.strides[:, None])
        return ops.all(away < reach, axis=-1) & ops.expand_dims(classes >= 0, -1)


def _class_cost(scores: Tensor, classes: Tensor) -> Tensor:
    """Return the cross-entropy of each prediction with each box's class, (batch, m, n).

    The probability is the geometric mean of class probability and objectness.
    """
    probability = ops.sqrt(scores)
    probability = ops.clip(probability, 1e-7, 1 - 1e-7)
    yes, no = -ops.log(probability), -ops.log(1 - probability)
    # The cost of all classes as negatives, corrected for the box's class by a matrix product, which
    # avoids a tensor (batch, m, n, classes).
    hot = one_hot(classes, scores.shape[-1])
    own = ops.matmul(hot, ops.transpose(yes - no, (0, 2, 1)))
    return own + ops.expand_dims(ops.sum(no, axis=-1), 1)
