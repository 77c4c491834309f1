"""Task-aligned assignment: Feng et al. 2021 (TOOD), section 3.3."""

from __future__ import annotations

from keras import ops
from pydantic import NonNegativeFloat, PositiveInt

from visiongarden.assigners.assigner import Assigner
from visiongarden.ops import kth_largest, one_hot, pairwise_iou, power, wide
from visiongarden.registry import register
from visiongarden.types import BACKGROUND, Assignment, Candidates, Targets, Tensor

_MIN_IOU = 1e-3


@register
class TaskAligned(Assigner):
    """Assign each box to the cells inside it that classify and localize it best.

    The alignment is t = score**alpha * IoU**beta (equation 3). The `top_k` cells with the highest t
    are the positives of a box; a cell that is selected for several boxes is assigned to the one
    with the highest IoU. Within a box, t is scaled so that its maximum equals the highest IoU of
    the box (section 3.3.1); the result is the target of the class score.

    A box that is smaller than the finest cell may contain no center. It is enlarged to one cell for
    the selection of cells, so that it always has a positive.

    Attributes:
        top_k: maximum number of cells per box.
        alpha: exponent of the class score.
        beta: exponent of the overlap.

    Example:
        >>> vg.assigners.TaskAligned(top_k=13).to_dict()
        {'type': 'TaskAligned', 'top_k': 13, 'alpha': 0.5, 'beta': 6.0}
    """

    top_k: PositiveInt = 10
    alpha: NonNegativeFloat = 0.5
    beta: NonNegativeFloat = 6.0

    def __call__(self, candidates: Candidates, targets: Targets) -> Assignment:
        """Assign the objects of a batch.

        Returns:
            The assignment; the weight of a positive is its normalized alignment, 0 to 1.
        """
        boxes = ops.convert_to_tensor(targets["boxes"], dtype=wide())
        classes = ops.convert_to_tensor(targets["classes"])
        scores, predicted = (
            ops.stop_gradient(ops.convert_to_tensor(x))
            for x in (candidates.scores, candidates.boxes)
        )
        overlap = pairwise_iou(boxes, predicted)
        # A product with one-hot rows selects the score of each box's class, (batch, m, n).
        hot = one_hot(classes, scores.shape[-1])
        likely = ops.matmul(hot, ops.transpose(scores, (0, 2, 1)))
        # Lower bounds: an untrained network may predict no box that overlaps the object, which must
        # still have a positive; 0 would exclude all cells.
        aligned = power(ops.maximum(likely, 1e-9), self.alpha) * power(
            ops.maximum(overlap, _MIN_IOU), self.beta
        )
        aligned = ops.where(self._inside(candidates, boxes, classes), aligned, 0.0)
        # A comparison with the k-th value instead of a scatter of the k indices.
        last = kth_largest(aligned, min(self.top_k, aligned.shape[-1]))
        chosen = (aligned >= last) & (aligned > 0)
        owner = ops.argmax(ops.where(chosen, overlap + 1e-6, 0.0), axis=1)
        mine = ops.equal(ops.expand_dims(owner, 1), ops.arange(boxes.shape[1])[None, :, None])
        kept = ops.cast(chosen & mine, wide())
        aligned = aligned * kept
        best = ops.max(aligned, axis=-1, keepdims=True)
        best_overlap = ops.max(overlap * kept, axis=-1, keepdims=True)
        quality = ops.max(aligned / ops.maximum(best, 1e-30) * best_overlap, axis=1)
        quality = ops.stop_gradient(quality)
        index = ops.where(quality > 0, ops.cast(owner, "int32"), BACKGROUND)
        return Assignment(index, quality)

    def max_positives(self, objects: int, candidates: Candidates) -> int:
        """Return `top_k` for each object; more only if the alignment of many cells is equal."""
        return min(objects * self.top_k, super().max_positives(objects, candidates))

    def _inside(self, candidates: Candidates, boxes: Tensor, classes: Tensor) -> Tensor:
        """Return whether each cell's center is in each box, (batch, m, n)."""
        # Half the finest stride, and a little more, so that a box in the middle between centers
        # reaches one of them despite rounding.
        min_half = float(candidates.strides.min()) / 2 * (1 + 1e-6)
        centers = ops.convert_to_tensor(candidates.points)
        within = ops.expand_dims(classes >= 0, -1)
        for axis in range(2):
            low, high = boxes[..., axis], boxes[..., axis + 2]
            half = ops.maximum((high - low) / 2, min_half)
            away = ops.abs(centers[:, axis] - ops.expand_dims((low + high) / 2, -1))
            within = within & (away <= ops.expand_dims(half, -1))
        return within
