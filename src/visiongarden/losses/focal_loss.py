"""Focal loss: Lin et al. 2017, equation 5."""

from __future__ import annotations

from typing import Annotated

from keras import ops
from pydantic import Field, NonNegativeFloat

from visiongarden.losses.bce import binary_crossentropy
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.registry import register
from visiongarden.types import Tensor

Share = Annotated[float, Field(ge=0, le=1)]
"""A fraction, 0 to 1."""


def focal(targets: Tensor, logits: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Compute the focal loss, a cross-entropy with less weight on easy elements, elementwise.

    Args:
        targets: (...), 0 or 1.
        logits: (...), any real numbers.
        alpha: weight of the positives; the negatives have 1 - alpha.
        gamma: focusing parameter; 0 is the ordinary cross-entropy.

    Returns:
        (...), 0 or more.

    Example:
        >>> loss = vg.losses.focal([1.0, 0.0], [0.0, 0.0])  # p = 0.5
        >>> [round(float(x), 3) for x in loss]  # 0.25 and 0.75 times 0.5**2 * log 2
        [0.043, 0.13]
    """
    targets, logits = ops.convert_to_tensor(targets), ops.convert_to_tensor(logits)
    probability = ops.sigmoid(logits)
    right = targets * probability + (1 - targets) * (1 - probability)
    weight = targets * alpha + (1 - targets) * (1 - alpha)
    return weight * ops.power(1 - right, gamma) * binary_crossentropy(targets, logits)


@register
class Focal(ScoreLoss):
    """Focal loss, see `focal`.

    Attributes:
        alpha: weight of the positives; the negatives have 1 - alpha.
        gamma: focusing parameter.

    Example:
        >>> round(float(vg.losses.Focal()(1.0, np.float32(0.0))), 3)
        0.043
    """

    alpha: Share = 0.25
    gamma: NonNegativeFloat = 2.0

    def __call__(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of each element."""
        return focal(targets, logits, self.alpha, self.gamma)
