"""Asymmetric loss: Ridnik et al. 2021 (arXiv 2009.14119)."""

from __future__ import annotations

from typing import Annotated

from keras import ops
from pydantic import Field, NonNegativeFloat

import visiongarden as vg


@vg.register
class Asymmetric(vg.losses.ScoreLoss):
    """Asymmetric loss, which reduces the weight of easy negatives (equations 4 to 6).

    Attributes:
        positive_gamma: Exponent of the focusing factor of positives.
        negative_gamma: Exponent of the focusing factor of negatives.
        margin: Probability below which a negative has no loss.
    """

    positive_gamma: NonNegativeFloat = 1.0
    negative_gamma: NonNegativeFloat = 4.0
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.05

    def __call__(self, targets: vg.Tensor, logits: vg.Tensor) -> vg.Tensor:
        """Return the loss of each element."""
        logits = ops.cast(logits, "float32")
        probability = ops.sigmoid(logits)
        shifted = ops.maximum(probability - self.margin, 0.0)
        # A bound above 0, because the gradient of a root is not finite at 0.
        positive = ops.power(ops.maximum(1 - probability, 1e-6), self.positive_gamma)
        negative = ops.power(ops.maximum(shifted, 1e-6), self.negative_gamma)
        return targets * positive * ops.softplus(-logits) - (1 - targets) * negative * ops.log(
            ops.maximum(1 - shifted, 1e-6)
        )
