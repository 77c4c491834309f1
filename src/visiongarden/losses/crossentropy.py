"""Softmax cross-entropy on logits."""

from __future__ import annotations

from keras import ops

from visiongarden.types import Tensor


def softmax_crossentropy(
    targets: Tensor,
    logits: Tensor,
    smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Compute -sum w t log softmax(x) over the last axis, (...).

    Smoothed targets are (1 - smoothing) t + smoothing / classes: Szegedy et al. 2016 (Inception
    V3), section 7.

    Args:
        targets: (..., classes), each row sums to 1; soft targets are allowed.
        logits: (..., classes), any real numbers.
        smoothing: fraction of a target that is spread evenly over all classes, 0 to 1.
        class_weights: (classes,), weight of each class; 0 ignores a class; None: all 1.

    Example:
        >>> targets, logits = [[1.0, 0.0]], [[0.0, 0.0]]
        >>> loss = vg.losses.softmax_crossentropy(targets, logits, class_weights=[2.0, 1.0])
        >>> round(float(loss[0]), 3)  # 2 log 2
        1.386
    """
    targets, logits = ops.convert_to_tensor(targets), ops.convert_to_tensor(logits)
    if smoothing:
        targets = (1 - smoothing) * targets + smoothing / logits.shape[-1]
    if class_weights is not None:
        targets = targets * ops.cast(ops.convert_to_tensor(class_weights), targets.dtype)
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)
