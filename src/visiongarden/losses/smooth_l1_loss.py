"""Smooth L1 loss: Girshick 2015 (Fast R-CNN), equation 3."""

from __future__ import annotations

from keras import ops

from visiongarden.types import Tensor


def smooth_l1(targets: Tensor, predictions: Tensor, beta: float = 1.0) -> Tensor:
    """Compute d**2 / (2 beta) where d = |x - t| is below beta, else d - beta / 2, elementwise.

    Args:
        targets: (...), any real numbers.
        predictions: (...), any real numbers.
        beta: difference at which the loss becomes linear, above 0, in units of the targets.

    Returns:
        (...), 0 or more.

    Example:
        >>> [float(x) for x in vg.losses.smooth_l1([0.0, 0.0], [0.5, 3.0])]
        [0.125, 2.5]
    """
    targets, predictions = ops.convert_to_tensor(targets), ops.convert_to_tensor(predictions)
    distance = ops.abs(predictions - targets)
    # The clipped form has a finite gradient on both sides of the boundary.
    near = ops.minimum(distance, beta)
    return near * near / (2 * beta) + distance - near
