"""Non-maximum suppression in the graph, with static shapes."""

from __future__ import annotations

from keras import ops

from visiongarden.backends.suppression import settled
from visiongarden.ops import pairwise_iou
from visiongarden.types import Tensor


def nms_keeps(boxes: Tensor, iou_threshold: float, classes: Tensor | None = None) -> Tensor:
    """Return which boxes greedy non-maximum suppression keeps, as float32 (batch, n), 0 or 1.

    Zheng et al. 2020 (arXiv 2005.03572), section 3.4, "Cluster-NMS": all boxes are decided
    together, a box being removed by the better ones that are kept at present, until nothing
    changes. The result is that of the greedy algorithm, and the number of rounds at most the length
    of the longest chain of boxes in which each depends on the decision on the one before: 1,000
    random boxes, each of which overlaps hundreds of others, needed 9. No gradient passes through
    the boxes.

    Args:
        boxes: (batch, n, 4), xyxy, best first.
        iou_threshold: a box is removed if its IoU with a better box that is kept is larger.
        classes: (batch, n) int32; boxes of different classes do not remove each other. None: all
            are of one class.

    Example:
        >>> boxes = np.array([[[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]]], "float32")
        >>> keras.ops.convert_to_numpy(vg.postprocess.nms_keeps(boxes, 0.5)).tolist()
        [[1.0, 0.0, 1.0]]
    """
    boxes = ops.stop_gradient(ops.convert_to_tensor(boxes))
    place = ops.arange(boxes.shape[1], dtype="int32")
    better = ops.expand_dims(place, -1) > ops.expand_dims(place, 0)
    removes = (pairwise_iou(boxes, boxes) > iou_threshold) & better
    if classes is not None:
        removes = removes & (ops.expand_dims(classes, -1) == ops.expand_dims(classes, -2))
    return settled(ops.cast(removes, "float32"))
