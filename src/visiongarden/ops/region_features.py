"""Bilinear sampling of feature maps in regions: He et al. 2017 (Mask R-CNN), section 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from visiongarden.ops.rows import rows_of
from visiongarden.ops.wide_dtype import wide
from visiongarden.types import Tensor


class _Axis(NamedTuple):
    """Cells between which one sample of each bin is interpolated along an axis, and weights."""

    low: Tensor  # (batch, k, bins) int32
    high: Tensor
    low_weight: Tensor  # (batch, k, bins) float32; both are 0 outside the map
    high_weight: Tensor


def roi_levels(
    boxes: Tensor,
    coarsest: int,
    finest: int,
    canonical_size: float = 224.0,
    canonical_level: int = 4,
) -> Tensor:
    """Return the level of each box, int32 (...): Lin et al. 2016 (FPN), equation 1.

    k = floor(k0 + log2(sqrt(width * height) / canonical size)), bounded by the levels.

    Args:
        boxes: (..., 4), xyxy, pixels.
        coarsest: number of the coarsest level, 5 for "p5".
        finest: number of the finest level.
        canonical_size: side in pixels of a square on the canonical level.
        canonical_level: k0, the canonical level.

    Example:
        >>> boxes = np.array([[0, 0, 224, 224], [0, 0, 100, 60], [0, 0, 900, 900]], "float32")
        >>> keras.ops.convert_to_numpy(vg.ops.roi_levels(boxes, 5, 2)).tolist()
        [4, 2, 5]
    """
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    scale = ops.sqrt(sides[..., 0] * sides[..., 1]) / canonical_size
    # Without the summand, the rounding of the logarithm decides on boxes of a canonical size.
    level = ops.floor(canonical_level + ops.log2(ops.maximum(scale, 1e-6)) + 1e-6)
    return ops.cast(ops.clip(level, finest, coarsest), "int32")


def roi_align(
    maps: Sequence[Tensor],
    strides: Sequence[int],
    boxes: Tensor,
    choice: Tensor,
    output_size: tuple[int, int],
    sampling_ratio: int = 2,
    aligned: bool = True,
) -> Tensor:
    """Average bilinear samples of feature maps in the bins of boxes: (batch, k, rows, columns, c).

    Args:
        maps: feature maps, each (batch, height, width, c) with known height and width.
        strides: pixels per cell of each map.
        boxes: (batch, k, 4), xyxy, pixels of the image.
        choice: (batch, k) int32, index of the map in which a box is sampled.
        output_size: rows and columns of bins.
        sampling_ratio: samples of a bin along each axis.
        aligned: whether cell i has its center at (i + 0.5) * stride. If not, it is at i * stride,
            and boxes are at least one cell wide and high, as in the first implementations.
    """
    sizes = [(int(x.shape[1]), int(x.shape[2])) for x in maps]
    starts = np.cumsum([0] + [rows * columns for rows, columns in sizes])[:-1]
    tables = zip(strides, starts, *zip(*sizes, strict=True), strict=True)
    stride, start, rows, columns = (
        ops.take(ops.convert_to_tensor(np.array(table, np.int32)), choice, axis=0)
        for table in zip(*tables, strict=True)
    )
    batch = ops.shape(maps[0])[0]
    flat = [
        ops.reshape(x, (batch, h * w, x.shape[-1])) for x, (h, w) in zip(maps, sizes, strict=True)
    ]
    places = ops.cast(boxes, wide()) / ops.expand_dims(ops.cast(stride, wide()), -1)
    return _sampled(
        ops.concatenate(flat, axis=1) if len(flat) > 1 else flat[0],
        start,
        (rows, columns),
        places,
        output_size,
        sampling_ratio,
        aligned,
    )


def crop_masks(
    masks: Tensor, owner: Tensor, boxes: Tensor, stride: int, output_size: tuple[int, int]
) -> Tensor:
    """Return the part of a mask in each box, (batch, k, rows, columns), 0 to 1.

    Args:
        masks: (batch, m, height, width), 0 or 1.
        owner: (batch, k) int32, row of the mask that a box belongs to.
        boxes: (batch, k, 4), xyxy, pixels of the image.
        stride: pixels per cell of the masks.
        output_size: rows and columns of the result.
    """
    count, rows, columns = (int(side) for side in masks.shape[1:])
    flat = ops.reshape(ops.cast(masks, wide()), (ops.shape(masks)[0], count * rows * columns, 1))
    zeros = ops.zeros_like(owner)
    size = zeros + rows, zeros + columns
    start = owner * (rows * columns)
    found = _sampled(flat, start, size, boxes / stride, output_size, 2, aligned=True)
    return ops.squeeze(found, -1)


def _sampled(
    flat: Tensor,
    start: Tensor,
    size: tuple[Tensor, Tensor],
    boxes: Tensor,
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Average the samples of each bin.

    Args:
        flat: (batch, n, c), the cells of all maps, each in row-major order.
        start: (batch, k) int32, first cell of the map of a box.
        size: rows and columns of that map, each (batch, k) int32.
        boxes: (batch, k, 4), xyxy, in cells.
        output_size: rows and columns of bins.
        sampling_ratio: samples of a bin along each axis.
        aligned: see `roi_align`.
    """
    columns = ops.reshape(size[1], (*ops.shape(size[1]), 1, 1))
    first = ops.reshape(start, (*ops.shape(start), 1, 1))
    sides = [
        [
            _axis(
                boxes[..., axis],
                boxes[..., axis + 2],
                size[1 - axis],
                bins,
                s,
                sampling_ratio,
                aligned,
            )
            for s in range(sampling_ratio)
        ]
        for axis, bins in ((1, output_size[0]), (0, output_size[1]))
    ]
    shape = (ops.shape(boxes)[0], boxes.shape[1], *output_size, flat.shape[-1])
    if shape[1] is None:
        shape = (shape[0], ops.shape(boxes)[1], *shape[2:])
    total: Any = None
    # One corner of one sample at a time: all of them together would need 4 * sampling_ratio**2
    # times the memory of the result.
    for y, y_weight in _cells(sides[0]):
        for x, x_weight in _cells(sides[1]):
            cells = first + ops.expand_dims(y, -1) * columns + ops.expand_dims(x, -2)
            weight = ops.expand_dims(y_weight, -1) * ops.expand_dims(x_weight, -2)
            index = ops.reshape(cells, (shape[0], -1))
            found = ops.reshape(rows_of(flat, index), shape)
            found = found * ops.expand_dims(ops.cast(weight, found.dtype), -1)
            total = found if total is None else total + found
    return total / sampling_ratio**2


def _cells(samples: list[_Axis]) -> list[tuple[Tensor, Tensor]]:
    return [
        pair
        for axis in samples
        for pair in ((axis.low, axis.low_weight), (axis.high, axis.high_weight))
    ]


def _axis(
    low: Tensor, high: Tensor, cells: Tensor, bins: int, sample: int, samples: int, aligned: bool
) -> _Axis:
    """Return where one sample of each bin is on an axis with a number of cells."""
    shift = 0.5 if aligned else 0.0
    start, length = low - shift, high - low
    if not aligned:
        length = ops.maximum(length, 1.0)
    step = ops.expand_dims(length / bins, -1)
    number = ops.convert_to_tensor(np.arange(bins, dtype=wide()))
    place = ops.expand_dims(start, -1) + number * step + (sample + 0.5) * step / samples
    last = ops.expand_dims(ops.cast(cells, wide()) - 1, -1)
    # Samples up to one cell outside the map have the value at its border; those beyond are 0.
    inside = ops.cast((place >= -1) & (place <= last + 1), wide())
    place = ops.clip(place, 0.0, last)
    first = ops.floor(place)
    second = ops.minimum(first + 1, last)
    share = place - first
    return _Axis(
        ops.cast(first, "int32"), ops.cast(second, "int32"), (1 - share) * inside, share * inside
    )
