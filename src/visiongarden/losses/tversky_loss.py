"""Tversky loss: Salehi et al. 2017, equation 4, for several classes."""

from __future__ import annotations

from keras import ops
from pydantic import NonNegativeFloat

from visiongarden.losses.region_loss import RegionLoss
from visiongarden.registry import register
from visiongarden.types import Tensor


def tversky(
    targets: Tensor,
    probabilities: Tensor,
    weights: Tensor,
    alpha: float = 0.3,
    beta: float = 0.7,
) -> Tensor:
    """Compute 1 - TP / (TP + alpha FP + beta FN), averaged over the classes of each image.

    With alpha = beta = 0.5 it is the Dice loss with the sums of probabilities in the denominator;
    a larger beta gives more weight to missed pixels than to false ones. A class without any target
    pixel is left out.

    Args:
        targets: (batch, n, classes), 0 or 1.
        probabilities: (batch, n, classes), 0 to 1.
        weights: (batch, n), 1 for rows that count and 0 for ignored rows.
        alpha: weight of the false positives.
        beta: weight of the false negatives.

    Returns:
        (batch,), 0 to 1; 0 for an image without any row that counts.

    Example:
        >>> targets = [[[1.0, 0.0], [1.0, 0.0]]]  # two pixels of the first class
        >>> loss = vg.losses.tversky(targets, [[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 1.0]])
        >>> round(float(loss[0]), 4)  # 1 - 1 / (1 + 0.7)
        0.4118
    """
    targets, probabilities, weights = map(ops.convert_to_tensor, (targets, probabilities, weights))
    weights = ops.expand_dims(weights, -1)
    targets, probabilities = targets * weights, probabilities * weights
    true = ops.sum(targets * probabilities, axis=1)
    false, missed = ops.sum(probabilities, axis=1) - true, ops.sum(targets, axis=1) - true
    apart = 1 - true / ops.maximum(true + alpha * false + beta * missed, 1e-6)
    there = ops.cast(ops.sum(targets, axis=1) > 0, apart.dtype)
    return ops.sum(apart * there, axis=-1) / ops.maximum(ops.sum(there, axis=-1), 1.0)


@register
class Tversky(RegionLoss):
    """Tversky loss, see `tversky`.

    Attributes:
        alpha: weight of the false positives.
        beta: weight of the false negatives.

    Example:
        >>> targets = [[[1.0, 0.0], [1.0, 0.0]]]  # two pixels of the first class
        >>> loss = vg.losses.Tversky()(targets, [[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 1.0]])
        >>> round(float(loss[0]), 4)
        0.4118
    """

    alpha: NonNegativeFloat = 0.3
    beta: NonNegativeFloat = 0.7

    def __call__(self, targets: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
        """Return the loss of each image."""
        return tversky(targets, probabilities, weights, self.alpha, self.beta)
