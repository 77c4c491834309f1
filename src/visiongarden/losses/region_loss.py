"""`RegionLoss`: base class of losses of the overlap of regions, per image."""

from __future__ import annotations

from visiongarden.config import Concise
from visiongarden.types import Tensor


class RegionLoss(Concise):
    """Base class of losses of the overlap of predicted and annotated regions.

    Example:
        >>> @vg.register(package="garden")
        ... class Area(vg.losses.RegionLoss):
        ...     def __call__(self, targets, probabilities, weights):
        ...         difference = (targets - probabilities) * weights[..., None]
        ...         return keras.ops.max(keras.ops.abs(keras.ops.mean(difference, 1)), -1)
        >>> ones = np.ones((1, 2, 1), "float32")
        >>> float(Area()(ones, ones / 2, ones[..., 0])[0])
        0.5
    """

    def __call__(self, targets: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
        """Return the loss of each image.

        Args:
            targets: (batch, n, classes), 0 or 1.
            probabilities: (batch, n, classes), 0 to 1.
            weights: (batch, n), 1 for pixels that count and 0 for ignored ones.

        Returns:
            (batch,), 0 or more.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `__call__`")
