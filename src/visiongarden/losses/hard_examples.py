"""Hard example mining: Shrivastava et al. 2016 (OHEM), here over the pixels of an image."""

from __future__ import annotations

import math

from keras import ops

from visiongarden.types import Tensor


def hardest(values: Tensor, weights: Tensor, fraction: float = 0.25) -> tuple[Tensor, Tensor]:
    """Return the losses of the rows with the largest loss in each image.

    The number of rows is static, as compiled steps require: `fraction` of all rows, rounded up. If
    fewer rows count, the others have the weight 0.

    Args:
        values: (batch, n), 0 or more: loss of each row.
        weights: (batch, n), 1 for rows that count and 0 for ignored rows.
        fraction: fraction of the rows that is used, above 0 and up to 1.

    Returns:
        The losses (batch, k) in any order, and their weights (batch, k), 0 or 1.

    Example:
        >>> values, weights = [[0.1, 2.0, 0.3, 9.0]], [[1.0, 1.0, 1.0, 0.0]]
        >>> found, _ = vg.losses.hardest(values, weights, fraction=0.5)
        >>> sorted(round(float(x), 1) for x in found[0])
        [0.3, 2.0]
    """
    values, weights = ops.convert_to_tensor(values), ops.convert_to_tensor(weights)
    count = max(1, math.ceil(fraction * values.shape[1]))
    # Below any loss, so that an ignored row is taken only if nothing else is left.
    found = ops.top_k(ops.where(weights > 0, values, -1.0), count, sorted=False)[0]
    return ops.maximum(found, 0.0), ops.cast(found >= 0, values.dtype)
