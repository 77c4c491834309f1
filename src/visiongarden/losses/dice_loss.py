"""Soft Dice loss: Milletari et al. 2016 (V-Net), section 3, for several classes."""

from __future__ import annotations

from keras import ops

from visiongarden.losses.region_loss import RegionLoss
from visiongarden.registry import register
from visiongarden.types import Tensor


def dice(targets: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Compute 1 - 2 sum(p t) / (sum p² + sum t²), averaged over the classes of each image.

    A class without any target pixel has no overlap to optimize and is left out.

    Args:
        targets: (batch, n, classes), 0 or 1.
        probabilities: (batch, n, classes), 0 to 1.
        weights: (batch, n), 1 for rows that count and 0 for ignored rows.

    Returns:
        (batch,), 0 to 1; 0 for an image without any row that counts.

    Example:
        >>> targets = [[[1.0, 0.0], [1.0, 0.0]]]  # two pixels of the first class
        >>> loss = vg.losses.dice(targets, [[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 1.0]])
        >>> round(float(loss[0]), 4)  # 1 - 2 * 1 / (1 + 2)
        0.3333
    """
    targets, probabilities, weights = map(ops.convert_to_tensor, (targets, probabilities, weights))
    weights = ops.expand_dims(weights, -1)
    targets, probabilities = targets * weights, probabilities * weights
    both = ops.sum(targets * probabilities, axis=1)
    sides = ops.sum(targets * targets + probabilities * probabilities, axis=1)
    apart = 1 - 2 * both / ops.maximum(sides, 1e-6)
    there = ops.cast(ops.sum(targets, axis=1) > 0, apart.dtype)
    return ops.sum(apart * there, axis=-1) / ops.maximum(ops.sum(there, axis=-1), 1.0)


@register
class Dice(RegionLoss):
    """Soft Dice loss, see `dice`.

    Example:
        >>> targets = [[[1.0, 0.0], [1.0, 0.0]]]  # two pixels of the first class
        >>> loss = vg.losses.Dice()(targets, [[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 1.0]])
        >>> round(float(loss[0]), 4)
        0.3333
    """

    def __call__(self, targets: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
        """Return the loss of each image."""
        return dice(targets, probabilities, weights)
