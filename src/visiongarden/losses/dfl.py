"""Distribution focal loss: Li et al. 2020 (Generalized Focal Loss), equation 6."""

from __future__ import annotations

from keras import ops

from visiongarden.types import Tensor


def distribution_focal(targets: Tensor, logits: Tensor) -> Tensor:
    """Compute the cross-entropy of the two bins around each target, weighted by proximity, (...).

    Args:
        targets: (...), positions in bins; clipped to 0 to bins - 1.
        logits: (..., bins).

    Example:
        >>> loss = vg.losses.distribution_focal([1.5], [[0.0, 0.0, 0.0, 0.0]])
        >>> round(float(loss[0]), 3)  # log 4: both neighbors have the probability 1/4
        1.386
    """
    logits = ops.convert_to_tensor(logits)
    bins = logits.shape[-1]
    targets = ops.clip(ops.convert_to_tensor(targets, dtype=logits.dtype), 0.0, bins - 1)
    # The weights of all bins, max(0, 1 - |bin - target|), are nonzero only for the two neighbors
    # of the target; a dense row of them replaces two gathers.
    distance = ops.abs(ops.expand_dims(targets, -1) - ops.arange(bins, dtype=logits.dtype))
    weights = ops.maximum(1 - distance, 0)
    return -ops.sum(weights * ops.log_softmax(logits, axis=-1), axis=-1)
