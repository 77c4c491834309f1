"""Choosing the largest values, and gathering rows of each image's predictions.

Losses compute their box terms for the positives alone, whose rows they gather with `rows_of`: a few
hundred instead of all cells of all levels.
"""

from __future__ import annotations

import keras
from keras import ops

from visiongarden.types import Tensor


def rows_of(x: Tensor, index: Tensor) -> Tensor:
    """Gather row `index[i, j]` of `x[i]`; the gradient is added to that row.

    Args:
        x: (batch, n, ...).
        index: (batch, k) int32, 0 to n - 1.

    Returns:
        (batch, k, ...).
    """
    # Rows of all images in one dimension: `ops.take` has no batch dimensions, and
    # `ops.take_along_axis` would need an index as large as the result.
    start = ops.arange(ops.shape(x)[0], dtype="int32") * ops.shape(x)[1]
    row = ops.reshape(ops.cast(index, "int32") + ops.expand_dims(start, -1), (-1,))
    found = ops.take(ops.reshape(x, (-1, *x.shape[2:])), row, axis=0)
    return ops.reshape(found, (*ops.shape(index), *x.shape[2:]))


def kth_largest(x: Tensor, k: int) -> Tensor:
    """Return the k-th largest value along the last axis.

    Args:
        x: (..., n).
        k: 1 to n.

    Returns:
        (..., 1).
    """
    # Not the last column of the top k: XLA merges that slice with the selection, which becomes a
    # complete sort. On 8 × 8 rows of 2,100 values, a CPU takes 11 ms instead of 0.3.
    return ops.min(ops.top_k(x, k)[0], axis=-1, keepdims=True)


def top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest values along the last axis in descending order, and their indices.

    Equal values are in the order of their indices on each backend and in exported files. Those of
    `keras.ops.top_k` are not: PyTorch orders them arbitrarily, and XLA places -0.0 below 0.0.

    Args:
        x: (..., n), float.
        k: 1 to n.

    Returns:
        Values (..., k) and indices (..., k), int32.
    """
    x = ops.where(x == 0, ops.zeros_like(x), x)
    if keras.backend.backend() != "torch":
        values, index = ops.top_k(x, k)
        return values, ops.cast(index, "int32")
    # All values above the k-th largest are chosen, and the first of those equal to it. A stable
    # sort of all values would take four times as long.
    above, equal, room = _parted(x, k)
    index = _indices_of(above + equal * ops.cast(ops.cumsum(equal, axis=-1) <= room, "int32"), k)
    values = ops.take_along_axis(x, index, axis=-1)
    order = ops.argsort(-values, axis=-1)  # stable on PyTorch
    return ops.take_along_axis(values, order, axis=-1), ops.take_along_axis(index, order, axis=-1)


def spread_top_k(weights: Tensor, k: int) -> Tensor:
    """Return the indices of the k largest weights along the last axis, in ascending order.

    If several weights tie for the last places, evenly spaced ones are chosen. The first ones would
    all belong to one level, and to the top of the image.

    Args:
        weights: (..., n), at least 0.
        k: 1 to n.

    Returns:
        (..., k), int32. If fewer than k weights are positive, the others are indices of zeros.
    """
    above, equal, room = _parted(weights, k)
    ordinal = ops.cumsum(equal, axis=-1)
    total = ops.maximum(ordinal[..., -1:], 1)
    # i · room / total reaches another integer `room` times, at evenly spaced i from 1 to `total`.
    steps = ordinal * room // total - (ordinal - 1) * room // total
    return _indices_of(above + equal * steps, k)


def _parted(x: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which values are above the k-th largest, which equal it, and how many of these fit."""
    last = kth_largest(x, k)
    above, equal = ops.cast(x > last, "int32"), ops.cast(x == last, "int32")
    return above, equal, k - ops.sum(above, axis=-1, keepdims=True)


def _indices_of(chosen: Tensor, k: int) -> Tensor:
    """Return the indices of k chosen values, in ascending order, int32."""
    # Distinct numbers, of which every backend knows the order; integers would be sorted by XLA.
    count = chosen.shape[-1]
    back = ops.arange(count, 0, -1, dtype="float32")
    found = ops.top_k(ops.cast(chosen, "float32") * back, k)[0]
    # Fewer than k are chosen if a value is NaN.
    return ops.cast(ops.minimum(count - found, count - 1), "int32")
