"""What heads predict -> boxes in pixels; shared by the losses and the postprocess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from keras import ops

from visiongarden.types import ImageSize, RawPredictions, stride_of

MOST_GROWTH = math.log(1000 / 16)
"""Largest logarithm of a box's side over its anchor's, so that a wild prediction stays finite."""

MOST_SIDE = math.log(1000)
"""Largest logarithm of a box's side over its cell's, for the same reason."""

Sizes: TypeAlias = Literal["exponential", "squared"]
"""How an offset scales its anchor: by e**t (YOLOv3), or by (2 s(t))**2 (Scaled-YOLOv4)."""

ScaleXY: TypeAlias = float | Mapping[str, float]
"""Reach of a cell's centre prediction: one number, or level -> number."""


def flat(raw: RawPredictions, name: str, inner: int = 1) -> Any:
    """One float32 tensor (batch, n, ...) of all levels, finest first, row after row.

    Args:
        raw: level -> name -> (batch, height, width, ...).
        name: which prediction.
        inner: dimensions that stay at the end; those before them are laid out in a row.
    """
    rows = []
    for level in sorted(raw, key=stride_of):
        x = ops.cast(raw[level][name], "float32")
        rows.append(ops.reshape(x, (ops.shape(x)[0], -1, *x.shape[len(x.shape) - inner :])))
    return ops.concatenate(rows, axis=1)


def distances_to_boxes(logits: Any, centres: Any, strides: Any) -> Any:
    """Expected distances to the four sides -> boxes (batch, n, 4), xyxy, pixels.

    Li et al. 2020 (Generalized Focal Loss), equation 3: the distance is the mean of its
    distribution, here in strides.

    Args:
        logits: (batch, n, 4, bins); left, top, right, bottom.
        centres: (n, 2) or (batch, n, 2), x and y in pixels.
        strides: (n,) or (batch, n), pixels.
    """
    bins = ops.arange(logits.shape[-1], dtype="float32")
    distances = ops.sum(ops.softmax(logits, axis=-1) * bins, axis=-1)
    distances = distances * ops.expand_dims(ops.convert_to_tensor(strides), -1)
    centres = ops.convert_to_tensor(centres)
    return ops.concatenate([centres - distances[..., :2], centres + distances[..., 2:]], axis=-1)


def offsets_to_boxes(
    offsets: Any,
    cells: Any,
    strides: Any,
    anchors: Any,
    scale_xy: Any,
    sizes: Sizes = "exponential",
) -> Any:
    """Offsets from cell and anchor -> boxes (..., 4), xyxy, pixels.

    Redmon & Farhadi 2018 (YOLOv3), section 2.1: x = (s(tx) + column) * stride, w = anchor * e**tw;
    with `scale_xy` above 1 the sigmoid reaches beyond its cell (Bochkovskiy et al. 2020, YOLOv4,
    section 3.4, "eliminate grid sensitivity"). Squared sizes, at most four times the anchor's, are
    those of Scaled-YOLOv4's and YOLOv7's Darknet files (`new_coords`) and of YOLOv5.

    Args:
        offsets: (..., 4): tx, ty, tw, th.
        cells: (..., 2): column and row of the cell.
        strides: (...): pixels.
        anchors: (..., 2): width and height in pixels.
        scale_xy: (...), or one number for all; 1 is YOLOv3.
        sizes: how an offset scales its anchor.
    """
    cells, strides, anchors = map(ops.convert_to_tensor, (cells, strides, anchors))
    scale = ops.expand_dims(ops.convert_to_tensor(scale_xy, "float32"), -1)
    inside = ops.sigmoid(offsets[..., :2]) * scale - (scale - 1) / 2
    centre = (inside + cells) * ops.expand_dims(strides, -1)
    if sizes == "squared":
        growth = ops.square(2 * ops.sigmoid(offsets[..., 2:]))
    else:
        growth = ops.exp(ops.minimum(offsets[..., 2:], MOST_GROWTH))
    half = anchors * growth / 2
    return ops.concatenate([centre - half, centre + half], axis=-1)


def points_to_boxes(offsets: Any, centres: Any, strides: Any) -> Any:
    """Offsets from a cell -> boxes (..., n, 4), xyxy, pixels.

    Ge et al. 2021 (YOLOX), section 2.3: x = (tx + column) * stride, w = e**tw * stride.

    Args:
        offsets: (..., n, 4): tx, ty, tw, th, in strides, from the cell's left upper corner.
        centres: (n, 2): x and y of the cells' centres in pixels.
        strides: (n,): pixels.
    """
    centres, strides = map(ops.convert_to_tensor, (centres, strides))
    stride = ops.expand_dims(strides, -1)
    centre = (offsets[..., :2] - 0.5) * stride + centres
    half = ops.exp(ops.minimum(offsets[..., 2:], MOST_SIDE)) * stride / 2
    return ops.concatenate([centre - half, centre + half], axis=-1)


class AnchorGrid:
    """Where every prediction of an anchor-based head sits, laid out as `flat` does.

    Attributes:
        cells: float32 (n, 2), column and row.
        strides: float32 (n,).
        anchors: float32 (n, 2), width and height in pixels.
        scales: float32 (n,), reach of the centre's prediction.
        levels: for each level (rows, columns, anchors, position of its first prediction).
    """

    def __init__(
        self, anchors: Mapping[str, Any], image_size: ImageSize, scale_xy: ScaleXY = 1.0
    ) -> None:
        cells, strides, sizes, scales, self.levels, first = [], [], [], [], {}, 0
        for level in sorted(anchors, key=stride_of):
            stride = stride_of(level)
            rows, columns = image_size[0] // stride, image_size[1] // stride
            own = np.asarray(anchors[level], np.float32)
            y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
            count = rows * columns
            cells.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), len(own), axis=0))
            strides.append(np.full(count * len(own), stride, np.float32))
            sizes.append(np.tile(own, (count, 1)))
            scale = scale_xy[level] if isinstance(scale_xy, Mapping) else scale_xy
            scales.append(np.full(count * len(own), scale, np.float32))
            self.levels[level] = (rows, columns, len(own), first)
            first += count * len(own)
        self.cells, self.strides = np.concatenate(cells), np.concatenate(strides)
        self.anchors, self.scales = np.concatenate(sizes), np.concatenate(scales)
        self.count = first
