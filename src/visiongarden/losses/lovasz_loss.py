"""Lovász-softmax loss: Berman et al. 2018 (arXiv 1705.08790), section 3 and algorithm 1."""

from __future__ import annotations

from keras import ops

from visiongarden.losses.region_loss import RegionLoss
from visiongarden.registry import register
from visiongarden.types import Tensor


def lovasz(targets: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Compute the Lovász extension of 1 - IoU, averaged over the classes of each image.

    It is the convex surrogate of the mean IoU: equal to 1 - IoU where all probabilities are 0 or 1.
    A class without any target pixel is left out.

    Args:
        targets: (batch, n, classes), 0 or 1.
        probabilities: (batch, n, classes), 0 to 1.
        weights: (batch, n), 1 for rows that count and 0 for ignored rows.

    Returns:
        (batch,), 0 to 1; 0 for an image without any row that counts.

    Example:
        >>> targets = [[[1.0, 0.0], [1.0, 0.0]]]  # two pixels of the first class
        >>> loss = vg.losses.lovasz(targets, [[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 1.0]])
        >>> round(float(loss[0]), 4)  # 1 - IoU of one of two pixels
        0.5
    """
    targets, probabilities, weights = map(ops.convert_to_tensor, (targets, probabilities, weights))
    weights = ops.expand_dims(weights, -1)
    targets = targets * weights
    # An ignored row has the error 0: it comes last, and its term of the sum is 0.
    errors = ops.abs(targets - probabilities) * weights
    order = ops.argsort(-errors, axis=1)
    errors = ops.take_along_axis(errors, order, axis=1)
    objects = ops.take_along_axis(targets, order, axis=1)
    total = ops.sum(objects, axis=1, keepdims=True)
    seen = ops.cumsum(objects, axis=1)
    others = ops.cumsum(1 - objects, axis=1)
    # 1 - IoU if the rows so far are wrong; its increments weight the sorted errors.
    jaccard = 1 - (total - seen) / ops.maximum(total + others, 1e-6)
    steps = ops.concatenate([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], axis=1)
    apart = ops.sum(errors * ops.stop_gradient(steps), axis=1)
    there = ops.cast(total[:, 0] > 0, apart.dtype)
    return ops.sum(apart * there, axis=-1) / ops.maximum(ops.sum(there, axis=-1), 1.0)


@register
class Lovasz(RegionLoss):
    """Lovász-softmax loss, see `lovasz`.

    Example:
        >>> targets = [[[1.0, 0.0], [1.0, 0.0]]]  # two pixels of the first class
        >>> loss = vg.losses.Lovasz()(targets, [[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 1.0]])
        >>> round(float(loss[0]), 4)
        0.5
    """

    def __call__(self, targets: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
        """Return the loss of each image."""
        return lovasz(targets, probabilities, weights)
