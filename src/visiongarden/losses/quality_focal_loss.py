"""Quality focal loss: Li et al. 2020 (generalized focal loss), equation 4."""

from __future__ import annotations

from keras import ops
from pydantic import NonNegativeFloat

from visiongarden.losses.bce import binary_crossentropy
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.registry import register
from visiongarden.types import Tensor


def quality_focal(targets: Tensor, logits: Tensor, beta: float = 2.0) -> Tensor:
    """Compute |t - p|**beta times the cross-entropy of a soft target, elementwise.

    Args:
        targets: (...), 0 to 1: quality of the positives, such as their IoU; 0 for negatives.
        logits: (...), any real numbers.
        beta: focusing parameter; 0 is the ordinary cross-entropy.

    Returns:
        (...), 0 or more; 0 where p = t only if beta is above 0.

    Example:
        >>> loss = vg.losses.quality_focal([0.0, 1.0, 0.5], [0.0, 0.0, 0.0])  # p = 0.5
        >>> [round(float(x), 3) for x in loss]  # 0.25 * log 2, twice, and no loss
        [0.173, 0.173, 0.0]
    """
    targets, logits = ops.convert_to_tensor(targets), ops.convert_to_tensor(logits)
    distance = ops.abs(targets - ops.sigmoid(logits))
    return ops.power(distance, beta) * binary_crossentropy(targets, logits)


@register
class QualityFocal(ScoreLoss):
    """Quality focal loss, see `quality_focal`.

    Attributes:
        beta: focusing parameter.

    Example:
        >>> round(float(vg.losses.QualityFocal()(1.0, np.float32(0.0))), 3)
        0.173
    """

    beta: NonNegativeFloat = 2.0

    def __call__(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of each element."""
        return quality_focal(targets, logits, self.beta)
