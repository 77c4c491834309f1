"""Binary cross-entropy on logits."""

from __future__ import annotations

from keras import ops

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
