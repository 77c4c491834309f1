"""Conversions and areas of boxes (..., 4); leading dimensions are kept."""

from __future__ import annotations

from keras import ops

from visiongarden.types import ImageSize, Tensor


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """Convert boxes (..., 4), xyxy, to (center x, center y, width, height)."""
    x1, y1, x2, y2 = ops.unstack(boxes, 4, axis=-1)
    return ops.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert boxes (..., 4), (center x, center y, width, height), to xyxy."""
    x, y, w, h = ops.unstack(boxes, 4, axis=-1)
    return ops.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=-1)


def area(boxes: Tensor) -> Tensor:
    """Return the areas (...) of xyxy boxes (..., 4); 0 if right < left or bottom < top."""
    width = ops.maximum(boxes[..., 2] - boxes[..., 0], 0)
    height = ops.maximum(boxes[..., 3] - boxes[..., 1], 0)
    return width * height


def clip(boxes: Tensor, image_size: ImageSize) -> Tensor:
    """Clip xyxy boxes (..., 4) to an image of `image_size`, (height, width) in pixels."""
    height, width = image_size
    x = ops.clip(boxes[..., 0::2], 0, width)
    y = ops.clip(boxes[..., 1::2], 0, height)
    return ops.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1)
