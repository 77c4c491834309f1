"""Deltas of boxes relative to anchors: Girshick et al. 2014 (R-CNN), appendix C."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from visiongarden.ops.decode import MAX_GROWTH
from visiongarden.ops.wide_dtype import wide
from visiongarden.types import Tensor

_MIN_SIDE = 1e-3
"""Smallest side in pixels of a box that is encoded; padding rows have boxes without area."""


def boxes_to_deltas(
    boxes: Tensor, centers: Tensor, sizes: Tensor, weights: Sequence[float]
) -> Tensor:
    """Encode boxes relative to anchors: (..., 4) dx, dy, dw, dh.

    dx = wx * (x - center x) / width of the anchor, dw = ww * log(width / width of the anchor); y
    and height likewise.

    Args:
        boxes: (..., 4), xyxy, pixels.
        centers: (..., 2), x and y of the anchors' centers in pixels.
        sizes: (..., 2), width and height of the anchors in pixels.
        weights: wx, wy, ww, wh.

    Example:
        >>> box = np.array([0.0, 0, 20, 10], "float32")
        >>> anchor = np.array([5.0, 5], "float32"), np.array([10.0, 10], "float32")
        >>> deltas = vg.ops.boxes_to_deltas(box, *anchor, weights=(1, 1, 1, 1))
        >>> keras.ops.convert_to_numpy(deltas).round(3).tolist()
        [0.5, 0.0, 0.693, 0.0]
    """
    boxes, centers, sizes = map(ops.convert_to_tensor, (boxes, centers, sizes))
    low, high = boxes[..., :2], boxes[..., 2:]
    moved = ((low + high) / 2 - centers) / sizes
    grown = ops.log(ops.maximum(high - low, _MIN_SIDE) / sizes)
    return ops.concatenate([moved, grown], axis=-1) * ops.convert_to_tensor(weights, wide())


def deltas_to_boxes(
    deltas: Tensor, centers: Tensor, sizes: Tensor, weights: Sequence[float]
) -> Tensor:
    """Decode deltas, see `boxes_to_deltas`, to boxes (..., 4), xyxy, pixels.

    Args:
        deltas: (..., 4), dx, dy, dw, dh.
        centers: (..., 2), x and y of the anchors' centers in pixels.
        sizes: (..., 2), width and height of the anchors in pixels.
        weights: wx, wy, ww, wh.
    """
    centers, sizes = map(ops.convert_to_tensor, (centers, sizes))
    deltas = deltas / ops.convert_to_tensor(weights, wide())
    center = deltas[..., :2] * sizes + centers
    half = ops.exp(ops.minimum(deltas[..., 2:], MAX_GROWTH)) * sizes / 2
    return ops.concatenate([center - half, center + half], axis=-1)
