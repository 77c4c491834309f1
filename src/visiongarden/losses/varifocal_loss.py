"""Varifocal loss: Zhang et al. 2021 (VarifocalNet), equation 2."""

from __future__ import annotations

from keras import ops
from pydantic import NonNegativeFloat

from visiongarden.losses.bce import binary_crossentropy
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.registry import register
from visiongarden.types import Tensor


def varifocal(targets: Tensor, logits: Tensor, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """Compute the varifocal loss, a cross-entropy weighted by the target quality, elementwise.

    A positive with quality q has the weight q, a negative the weight alpha p**gamma. The weights
    pass no gradient, so that the minimum of a positive is at p = q.

    Args:
        targets: (...), 0 to 1: quality of the positives, such as their IoU; 0 for negatives.
        logits: (...), any real numbers.
        alpha: weight of the negatives.
        gamma: focusing parameter of the negatives; 0 weights all of them equally.

    Returns:
        (...), 0 or more.

    Example:
        >>> loss = vg.losses.varifocal([0.0, 0.8], [0.0, 0.0])  # p = 0.5
        >>> [round(float(x), 3) for x in loss]  # 0.75 * 0.5**2 * log 2, and 0.8 * log 2
        [0.13, 0.555]
    """
    targets, logits = ops.convert_to_tensor(targets), ops.convert_to_tensor(logits)
    negative = alpha * ops.power(ops.sigmoid(logits), gamma)
    weight = ops.stop_gradient(ops.where(targets > 0, targets, negative))
    return weight * binary_crossentropy(targets, logits)


@register
class Varifocal(ScoreLoss):
    """Varifocal loss, see `varifocal`.

    Attributes:
        alpha: weight of the negatives.
        gamma: focusing parameter of the negatives.

    Example:
        >>> round(float(vg.losses.Varifocal()(0.8, np.float32(0.0))), 3)
        0.555
    """

    alpha: NonNegativeFloat = 0.75
    gamma: NonNegativeFloat = 2.0

    def __call__(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of each element."""
        return varifocal(targets, logits, self.alpha, self.gamma)
