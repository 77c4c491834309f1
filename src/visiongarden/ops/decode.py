"""Decode the predictions of heads to boxes in pixels.

Losses and postprocessing share these functions, so that a prediction that fits a box in training
decodes to that box.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from keras import ops

from visiongarden.ops.wide_dtype import wide
from visiongarden.types import ImageSize, RawPredictions, Tensor, map_size, stride_of

MAX_GROWTH = math.log(1000 / 16)
"""Upper bound of the logarithm of a box's side divided by its anchor's.

Without the bound, the exponential of a large prediction in an early step is infinite, and the loss
NaN.
"""

MAX_SIDE = math.log(1000)
"""Upper bound of the logarithm of a box's side divided by the stride, for the same reason."""

SizeEncoding: TypeAlias = Literal["exponential", "squared"]
"""How an offset t scales its anchor: by e**t (YOLOv3), or by (2 sigmoid(t))**2 (Scaled-YOLOv4)."""

Anchors: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]
"""Level -> (width, height) of each anchor, in pixels."""

ScaleXY: TypeAlias = float | Mapping[str, float]
"""Scale of the center offsets: one number, or level -> number."""


def flat(raw: RawPredictions, name: str, inner: int = 1) -> Tensor:
    """Concatenate a prediction of all levels to one float32 tensor (batch, n, ...).

    Levels are in order of stride, finest first, and each is in row-major order.

    Args:
        raw: level -> name -> (batch, height, width, ...).
        name: name of the prediction.
        inner: number of last dimensions that are kept; the dimensions between them and the batch
            are flattened.
    """
    rows = []
    for level in sorted(raw, key=stride_of):
        # Half precision cannot represent all pixel positions above 2048 (float16), 256 (bfloat16).
        x = ops.cast(raw[level][name], wide())
        rows.append(ops.reshape(x, (ops.shape(x)[0], -1, *x.shape[len(x.shape) - inner :])))
    return ops.concatenate(rows, axis=1)


def single(raw: RawPredictions, name: str) -> Tensor:
    """Return a prediction that only one level has, as float32.

    Args:
        raw: level -> name -> tensor.
        name: name of the prediction.

    Example:
        >>> raw = {"p3": {"boxes": 0, "prototypes": np.ones((1, 2, 2, 4))}, "p4": {"boxes": 0}}
        >>> tuple(vg.ops.single(raw, "prototypes").shape)
        (1, 2, 2, 4)
    """
    (found,) = (tensors[name] for tensors in raw.values() if name in tensors)
    return ops.cast(found, wide())


def distances_to_boxes(logits: Tensor, centers: Tensor, strides: Tensor) -> Tensor:
    """Decode distributions of the distances to the four sides: boxes (batch, n, 4), xyxy, pixels.

    A distance is the mean of its distribution, in strides (Li et al. 2020, Generalized Focal Loss,
    equation 3).

    Args:
        logits: (batch, n, 4, bins): left, top, right, bottom.
        centers: (n, 2) or (batch, n, 2), x and y of the cells' centers in pixels.
        strides: (n,) or (batch, n), pixels.
    """
    bins = ops.arange(logits.shape[-1], dtype=wide())
    distances = ops.sum(ops.softmax(logits, axis=-1) * bins, axis=-1)
    distances = distances * ops.expand_dims(ops.convert_to_tensor(strides), -1)
    centers = ops.convert_to_tensor(centers)
    return ops.concatenate([centers - distances[..., :2], centers + distances[..., 2:]], axis=-1)


def offsets_to_boxes(
    offsets: Tensor,
    cells: Tensor,
    strides: Tensor,
    anchors: Tensor,
    scale_xy: Tensor | float,
    size_encoding: SizeEncoding = "exponential",
) -> Tensor:
    """Decode offsets from cell and anchor to boxes (..., 4), xyxy, pixels.

    Redmon & Farhadi 2018 (YOLOv3), section 2.1: x = (sigmoid(tx) + column) * stride, w = anchor *
    e**tw. With `scale_xy` above 1, the center may be outside its cell (Bochkovskiy et al. 2020,
    YOLOv4, section 3.4, "eliminate grid sensitivity"). Squared sizes, at most four times the
    anchor, are those of the Darknet files of Scaled-YOLOv4 and YOLOv7 (`new_coords`) and of YOLOv5.

    Args:
        offsets: (..., 4): tx, ty, tw, th.
        cells: (..., 2): column and row of the cell.
        strides: (...): pixels.
        anchors: (..., 2): width and height in pixels.
        scale_xy: (...), or one number for all; 1 is YOLOv3.
        size_encoding: how an offset scales its anchor.
    """
    cells, strides, anchors = map(ops.convert_to_tensor, (cells, strides, anchors))
    scale = ops.expand_dims(ops.convert_to_tensor(scale_xy, wide()), -1)
    # Symmetric about the middle of the cell: from -(scale - 1) / 2 to 1 + (scale - 1) / 2.
    inside = ops.sigmoid(offsets[..., :2]) * scale - (scale - 1) / 2
    center = (inside + cells) * ops.expand_dims(strides, -1)
    if size_encoding == "squared":
        growth = ops.square(2 * ops.sigmoid(offsets[..., 2:]))
    else:
        growth = ops.exp(ops.minimum(offsets[..., 2:], MAX_GROWTH))
    half = anchors * growth / 2
    return ops.concatenate([center - half, center + half], axis=-1)


def points_to_boxes(offsets: Tensor, centers: Tensor, strides: Tensor) -> Tensor:
    """Decode offsets from a cell to boxes (..., n, 4), xyxy, pixels.

    Ge et al. 2021 (YOLOX), section 2.3: x = (tx + column) * stride, w = e**tw * stride.

    Args:
        offsets: (..., n, 4): tx, ty, tw, th, in strides, from the upper left corner of the cell.
        centers: (n, 2): x and y of the cells' centers in pixels.
        strides: (n,): pixels.
    """
    centers, strides = map(ops.convert_to_tensor, (centers, strides))
    stride = ops.expand_dims(strides, -1)
    center = (offsets[..., :2] - 0.5) * stride + centers
    half = ops.exp(ops.minimum(offsets[..., 2:], MAX_SIDE)) * stride / 2
    return ops.concatenate([center - half, center + half], axis=-1)


class AnchorGrid:
    """Positions of all predictions of an anchor-based head, in the order of `flat`.

    Attributes:
        cells: float32 (n, 2), column and row.
        strides: float32 (n,), pixels.
        anchors: float32 (n, 2), width and height in pixels.
        scales: float32 (n,), scale of the center offsets.
        levels: level -> (rows, columns, anchors, index of its first prediction).
        count: n, the number of predictions.
    """

    def __init__(
        self,
        anchors: Anchors,
        image_size: ImageSize,
        scale_xy: ScaleXY = 1.0,
    ) -> None:
        cells, strides, sizes, scales, self.levels, first = [], [], [], [], {}, 0
        for level in sorted(anchors, key=stride_of):
            stride = stride_of(level)
            rows, columns = map_size(image_size, stride)
            own = np.asarray(anchors[level], wide())
            y, x = np.mgrid[0:rows, 0:columns].astype(wide())
            count = rows * columns
            cells.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), len(own), axis=0))
            strides.append(np.full(count * len(own), stride, wide()))
            sizes.append(np.tile(own, (count, 1)))
            scale = scale_xy[level] if isinstance(scale_xy, Mapping) else scale_xy
            scales.append(np.full(count * len(own), scale, wide()))
            self.levels[level] = (rows, columns, len(own), first)
            first += count * len(own)
        self.cells, self.strides = np.concatenate(cells), np.concatenate(strides)
        self.anchors, self.scales = np.concatenate(sizes), np.concatenate(scales)
        self.count = first
