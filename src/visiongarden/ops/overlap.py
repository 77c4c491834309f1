"""Overlap of xyxy boxes in any unit: IoU and its variants, elementwise or pairwise.

Losses need the elementwise forms and their gradients, assigners the pairwise form.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from visiongarden.ops.boxes import area

EPSILON = 1e-7
"""Keeps quotients finite for boxes without area."""


def iou(a: Any, b: Any) -> Any:
    """Return the intersection over union, 0 to 1, of two arrays of boxes (..., 4), elementwise."""
    inter = _intersection(a, b)
    return inter / (area(a) + area(b) - inter + EPSILON)


def pairwise_iou(a: Any, b: Any) -> Any:
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


def giou(a: Any, b: Any) -> Any:
    """Return the generalized IoU, -1 to 1 (Rezatofighi et al. 2019, algorithm 1), elementwise."""
    inter = _intersection(a, b)
    union = area(a) + area(b) - inter + EPSILON
    around = ops.prod(_hull(a, b), axis=-1) + EPSILON
    return inter / union - (around - union) / around


def ciou(a: Any, b: Any) -> Any:
    """Return the complete IoU, -1.5 to 1 (Zheng et al. 2020, equations 10 to 12), elementwise.

    The IoU, minus the squared distance of the centers over the squared diagonal of the enclosing
    box, minus the weighted difference of the aspect ratios. The weight passes no gradient, as in
    the paper.
    """
    overlap = iou(a, b)
    hull = _hull(a, b)
    diagonal = ops.sum(hull * hull, axis=-1) + EPSILON
    shift = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = ops.sum(shift * shift, axis=-1)
    aspect = (4 / math.pi**2) * ops.square(_angle(a) - _angle(b))
    weight = ops.stop_gradient(aspect / (1 - overlap + aspect + EPSILON))
    return overlap - distance / diagonal - weight * aspect


def _angle(boxes: Any) -> Any:
    size = boxes[..., 2:] - boxes[..., :2]
    # arctan2 has a finite gradient at height 0, where that of arctan(width / height) is infinite.
    return ops.arctan2(ops.maximum(size[..., 0], EPSILON), ops.maximum(size[..., 1], EPSILON))


def _intersection(a: Any, b: Any) -> Any:
    low = ops.maximum(a[..., :2], b[..., :2])
    high = ops.minimum(a[..., 2:], b[..., 2:])
    side = ops.maximum(high - low, 0)
    return side[..., 0] * side[..., 1]


def _hull(a: Any, b: Any) -> Any:
    return ops.maximum(a[..., 2:], b[..., 2:]) - ops.minimum(a[..., :2], b[..., :2])
