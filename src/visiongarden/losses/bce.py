"""Binary cross-entropy on logits."""

from __future__ import annotations

from typing import Annotated

from keras import ops
from pydantic import Field

from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.registry import register
from visiongarden.types import Tensor


def binary_crossentropy(targets: Tensor, logits: Tensor) -> Tensor:
    """Compute -t log s(x) - (1 - t) log(1 - s(x)), elementwise, with the sigmoid s.

    The form softplus(x) - t x is finite for any logit.

    Args:
        targets: (...), 0 to 1; soft targets are allowed.
        logits: (...), any real numbers.

    Returns:
        (...), 0 or more.

    Example:
        >>> loss = vg.losses.binary_crossentropy([1.0, 0.5], [0.0, 1000.0])
        >>> [round(float(x), 3) for x in loss]  # log 2, and half of a wrong logit of 1000
        [0.693, 500.0]
    """
    targets, logits = ops.convert_to_tensor(targets), ops.convert_to_tensor(logits)
    return ops.softplus(logits) - logits * targets


@register
class BinaryCrossentropy(ScoreLoss):
    """Binary cross-entropy, see `binary_crossentropy`.

    Attributes:
        label_smoothing: s moves a target t to (1 - s) t + s / 2 (Szegedy et al. 2016, section 7,
            for two classes).

    Example:
        >>> loss = vg.losses.BinaryCrossentropy(label_smoothing=0.2)
        >>> round(float(loss(1.0, np.float32(2.0))), 3)  # softplus(2) - 0.9 * 2
        0.327
    """

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def __call__(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of each element."""
        if self.label_smoothing:
            targets = (1 - self.label_smoothing) * targets + self.label_smoothing / 2
        return binary_crossentropy(targets, logits)

    def background(self, logits: Tensor) -> Tensor:
        """Return softplus(x), or with smoothing softplus(x) - s x / 2."""
        found = ops.softplus(logits)
        return found - self.label_smoothing / 2 * logits if self.label_smoothing else found

    def excess(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return -t x, or with smoothing -(1 - s) t x."""
        if self.label_smoothing:
            targets = (1 - self.label_smoothing) * targets
        return -(targets * logits)
