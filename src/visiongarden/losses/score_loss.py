"""`ScoreLoss`: base class of losses of class scores and objectness, elementwise on logits."""

from __future__ import annotations

from keras import ops

from visiongarden.config import Concise
from visiongarden.types import Tensor


class ScoreLoss(Concise):
    """Base class of elementwise losses on logits; a subclass implements `__call__`.

    Example:
        >>> @vg.register(package="garden")
        ... class Squared(vg.losses.ScoreLoss):
        ...     def __call__(self, targets, logits):
        ...         return keras.ops.square(targets - keras.ops.sigmoid(logits))
        >>> float(Squared()(1.0, np.float32(0.0)))
        0.25
    """

    def __call__(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of each element.

        Args:
            targets: (...), 0 to 1.
            logits: (...), any real numbers.

        Returns:
            (...), 0 or more.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `__call__`")

    def background(self, logits: Tensor) -> Tensor:
        """Return the loss of each element if its target is 0."""
        return self(ops.zeros_like(logits), logits)

    def excess(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Return how much larger the loss of each element is than with the target 0.

        Losses of detection heads are the sum of `background` over all cells and of `excess` over
        the few positives.
        """
        return self(targets, logits) - self.background(logits)
