"""Soft Dice loss: Milletari et al. 2016 (V-Net), section 3, for several classes."""

from __future__ import annotations

from keras import ops

from visiongarden.types import Tensor


def dice(targets: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Compute 1 - 2 sum(p t) / (sum p² + sum t²), averaged over the classes in the targets.

    A class without any target pixel has no overlap to optimize and is ignored.

    Args:
        targets: (batch, n, classes), 0 or 1.
        probabilities: (batch, n, classes), 0 to 1.
        weights: (batch, n), 1 for rows that count and 0 for ignored rows.

    Returns:
        A scalar, 0 to 1.

    Example:
        >>> targets = [[[1.0, 0.0], [1.0, 0.0]]]  # two pixels of the first class
        >>> loss = vg.losses.dice(targets, [[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 1.0]])
        >>> round(float(loss), 4)  # 1 - 2 * 1 / (1 + 2)
        0.3333
    """
    targets, probabilities, weights = map(ops.convert_to_tensor, (targets, probabilities, weights))
    weights = ops.expand_dims(weights, -1)
    targets, probabilities = targets * weights, probabilities * weights
    both = ops.sum(targets * probabilities, axis=(0, 1))
    sides = ops.sum(targets * targets + probabilities * probabilities, axis=(0, 1))
    there = ops.cast(ops.sum(targets, axis=(0, 1)) > 0, sides.dtype)
    apart = 1 - 2 * both / ops.maximum(sides, 1e-6)
    return ops.sum(apart * there) / ops.maximum(ops.sum(there), 1.0)
