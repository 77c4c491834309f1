"""Boxes in their two spellings. All functions take (..., 4) and keep the leading dimensions."""

from __future__ import annotations

from typing import Any

from keras import ops

from visiongarden.types import ImageSize


def xyxy_to_cxcywh(boxes: Any) -> Any:
    """(left, top, right, bottom) -> (centre x, centre y, width, height)."""
    x1, y1, x2, y2 = ops.unstack(boxes, 4, axis=-1)
    return ops.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], axis=-1)


def cxcywh_to_xyxy(boxes: Any) -> Any:
    """(centre x, centre y, width, height) -> (left, top, right, bottom)."""
    x, y, w, h = ops.unstack(boxes, 4, axis=-1)
    return ops.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=-1)


def area(boxes: Any) -> Any:
    """Area of xyxy boxes, (...); 0 where a box is turned inside out."""
    width = ops.maximum(boxes[..., 2] - boxes[..., 0], 0)
    height = ops.maximum(boxes[..., 3] - boxes[..., 1], 0)
    return width * height


def clip(boxes: Any, image_size: ImageSize) -> Any:
    """xyxy boxes cut at the image's border; `image_size` is (height, width)."""
    height, width = image_size
    x = ops.clip(boxes[..., 0::2], 0, width)
    y = ops.clip(boxes[..., 1::2], 0, height)
    return ops.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1)
