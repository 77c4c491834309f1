"""Cells of the feature maps of several levels, in one sequence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from visiongarden.ops.wide_dtype import wide
from visiongarden.types import ImageSize, map_size, stride_of


@dataclass(frozen=True)
class Cells:
    """The cells of several levels, level by level, in row-major order.

    The order is that of `flat`, so that row i of flattened predictions belongs to cell i.

    Attributes:
        centers: float32 (n, 2), x and y of the centers in pixels of the image.
        strides: float32 (n,), pixels per cell.
        counts: number of cells of each level.
    """

    centers: np.ndarray
    strides: np.ndarray
    counts: tuple[int, ...]


def cells_of(levels: Iterable[str], image_size: ImageSize) -> Cells:
    """Return the cells of the levels for an image of (height, width) pixels."""
    # NumPy, not keras.ops: image size and levels are known when the graph is traced, so that the
    # cells become constants of the graph.
    centers, strides = [], []
    # The order of `flat`, whatever the order of `levels`.
    for level in sorted(levels, key=stride_of):
        stride = stride_of(level)
        rows, columns = map_size(image_size, stride)
        y, x = np.mgrid[0:rows, 0:columns].astype(wide())
        centers.append((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full(rows * columns, stride, wide()))
    counts = tuple(len(part) for part in strides)
    return Cells(np.concatenate(centers), np.concatenate(strides), counts)


def shape_overlaps(sides: np.ndarray, anchors: np.ndarray, offset: float = 0.0) -> np.ndarray:
    """Return the IoU of boxes and anchors by their shapes alone, (n, anchors).

    Args:
        sides: (n, 2), width and height of the boxes.
        anchors: (anchors, 2), width and height.
        offset: distance of their centers along each axis.
    """
    sides = sides[:, None]
    shared = np.minimum(np.minimum(sides, anchors), (sides + anchors) / 2 - offset)
    inter = np.maximum(shared, 0).prod(axis=-1)
    union = sides.prod(axis=-1) + anchors.prod(axis=-1) - inter
    return np.asarray(inter / np.maximum(union, 1e-9))
