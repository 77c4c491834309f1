"""Binary cross-entropy on logits."""

from __future__ import annotations

from typing import Any

from keras import ops


def binary_crossentropy(targets: Any, logits: Any) -> Any:
    """Compute -t log s(x) - (1 - t) log(1 - s(x)), elementwise, with the sigmoid s.

    The form softplus(x) - t x is finite for any logit.

    Args:
        targets: 0 to 1; soft targets are allowed.
        logits: any real numbers, of the same shape.
    """
    targets, logits = ops.convert_to_tensor(targets), ops.convert_to_tensor(logits)
    return ops.softplus(logits) - logits * targets
