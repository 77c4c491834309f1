"""Non-maximum suppression in the graph, with static shapes."""

from __future__ import annotations

from keras import ops

from visiongarden.ops.overlap import pairwise_iou
from visiongarden.types import Tensor

ROUNDS = 16
"""Rounds of `nms_keeps`. 1,000 random boxes needed 9, with each overlapping hundreds of others."""


def nms_keeps(
    boxes: Tensor,
    iou_threshold: float,
    classes: Tensor | None = None,
    rounds: int = ROUNDS,
) -> Tensor:
    """Return which boxes greedy non-maximum suppression keeps, as float32 (batch, n), 0 or 1.

    Zheng et al. 2020 (arXiv 2005.03572), section 3.4, "Cluster-NMS": all boxes are decided
    together, a box being removed by the better ones that are kept at present, until nothing
    changes. The result is that of the greedy algorithm after as many rounds as the longest chain
    of boxes in which each depends on the decision on the one before. Boxes that would need more
    rounds are removed.

    Args:
        boxes: (batch, n, 4), xyxy, best first.
        iou_threshold: a box is removed if its IoU with a better box that is kept is larger.
        classes: (batch, n) int32; boxes of different classes do not remove each other. None: all
            are of one class.
        rounds: number of rounds, 1 or more.

    Example:
        >>> boxes = np.array([[[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]]], "float32")
        >>> keras.ops.convert_to_numpy(vg.ops.nms_keeps(boxes, 0.5)).tolist()
        [[1.0, 0.0, 1.0]]
    """
    boxes = ops.convert_to_tensor(boxes)
    count = boxes.shape[1]
    place = ops.arange(count, dtype="int32")
    better = ops.expand_dims(place, -1) > ops.expand_dims(place, 0)
    # Row i has a 1 for each better box that removes box i.
    removes = (pairwise_iou(boxes, boxes) > iou_threshold) & better
    if classes is not None:
        removes = removes & (ops.expand_dims(classes, -1) == ops.expand_dims(classes, -2))
    removes = ops.cast(removes, "float32")
    keeps = before = ops.ones_like(boxes[..., 0])
    for _ in range(rounds):
        before = keeps
        removed = ops.matmul(removes, ops.expand_dims(keeps, -1))
        keeps = ops.cast(ops.squeeze(removed, -1) < 0.5, "float32")
    return ops.minimum(keeps, before)
