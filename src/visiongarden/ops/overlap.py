"""Overlap of xyxy boxes in any unit: IoU and its variants, elementwise or pairwise.

Losses need the elementwise forms and their gradients, assigners the pairwise form.
"""

from __future__ import annotations

import math

from keras import ops

from visiongarden.ops.boxes import area
from visiongarden.types import Tensor

EPSILON = 1e-7
"""Keeps quotients finite for boxes without area."""


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union (...), 0 to 1, of boxes (..., 4), elementwise."""
    inter = _intersection(a, b)
    return inter / (area(a) + area(b) - inter + EPSILON)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of each of (..., n, 4) with each of (..., m, 4) boxes, (..., n, m)."""
    # One (..., n, m) tensor per side: processors cannot vectorize over the last dimension of a
    # (..., n, m, 2) tensor of corners.
    left, top, right, bottom = (
        choose(ops.expand_dims(a[..., i], -1), ops.expand_dims(b[..., i], -2))
        for i, choose in enumerate((ops.maximum, ops.maximum, ops.minimum, ops.minimum))
    )
    inter = ops.maximum(right - left, 0) * ops.maximum(bottom - top, 0)
    areas = ops.expand_dims(area(a), -1) + ops.expand_dims(area(b), -2)
    return inter / (areas - inter + EPSILON)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalized IoU (...), -1 to 1, of boxes (..., 4), elementwise.

    Rezatofighi et al. 2019, algorithm 1.
    """
    inter = _intersection(a, b)
    union = area(a) + area(b) - inter + EPSILON
    # Not `ops.prod`: in PyTorch, its gradient is rounded differently while a graph is captured.
    hull = _hull(a, b)
    around = hull[..., 0] * hull[..., 1] + EPSILON
    return inter / union - (around - union) / around


def diou(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance IoU (...), -1 to 1, of boxes (..., 4), elementwise.

    Zheng et al. 2020, equation 7: the IoU, minus the squared distance of the centers over the
    squared diagonal of the enclosing box.
    """
    return iou(a, b) - _distance(a, b)


def siou(a: Tensor, b: Tensor) -> Tensor:
    """Return the SCYLLA IoU (...), -2 to 1, of boxes (..., 4), elementwise.

    Gevorgyan 2022 (arXiv 2205.12740), equations 1 to 10 with theta = 4: the IoU, minus half the sum
    of a distance cost, which depends on the angle between the centers, and a shape cost.
    """
    shift = ops.abs(a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    # Equation 1, 1 - 2 sin(arcsin x - pi / 4)**2, is the sine of twice the angle.
    squared = ops.sum(shift * shift, axis=-1)
    angle = 2 * shift[..., 0] * shift[..., 1] / (squared + EPSILON)
    relative = ops.square(shift / (_hull(a, b) + EPSILON))
    distance = ops.sum(1 - ops.exp(-ops.expand_dims(2 - angle, -1) * relative), axis=-1)
    one, other = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    difference = ops.abs(one - other) / (ops.maximum(one, other) + EPSILON)
    shape = ops.sum(ops.power(1 - ops.exp(-difference), 4.0), axis=-1)
    return iou(a, b) - (distance + shape) / 2


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Return the complete IoU (...), -1.5 to 1, of boxes (..., 4), elementwise.

    Zheng et al. 2020, equations 10 to 12: the IoU, minus the squared distance of the centers over
    the squared diagonal of the enclosing box, minus the weighted difference of the aspect ratios.
    The weight passes no gradient, as in the paper.
    """
    overlap = iou(a, b)
    aspect = (4 / math.pi**2) * ops.square(_angle(a) - _angle(b))
    weight = ops.stop_gradient(aspect / (1 - overlap + aspect + EPSILON))
    return overlap - _distance(a, b) - weight * aspect


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance of the centers over the enclosing box's squared diagonal."""
    hull = _hull(a, b)
    shift = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    return ops.sum(shift * shift, axis=-1) / (ops.sum(hull * hull, axis=-1) + EPSILON)


def _angle(boxes: Tensor) -> Tensor:
    size = boxes[..., 2:] - boxes[..., :2]
    # arctan2 has a finite gradient at height 0, where that of arctan(width / height) is infinite.
    return ops.arctan2(ops.maximum(size[..., 0], EPSILON), ops.maximum(size[..., 1], EPSILON))


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    low = ops.maximum(a[..., :2], b[..., :2])
    high = ops.minimum(a[..., 2:], b[..., 2:])
    side = ops.maximum(high - low, 0)
    return side[..., 0] * side[..., 1]


def _hull(a: Tensor, b: Tensor) -> Tensor:
    return ops.maximum(a[..., 2:], b[..., 2:]) - ops.minimum(a[..., :2], b[..., :2])
