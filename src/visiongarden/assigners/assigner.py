"""`Assigner`: base class of what decides which prediction is trained on which object."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.config import Concise
from visiongarden.types import Assignment, Candidates, Targets

FAR = 0.1
"""IoU of an object and an anchor below which one of them is ten times as large as the other."""


class Assigner(Concise):
    """Base class of assigners; a subclass implements `__call__`.

    Attributes:
        ignores: whether predictions may be ignored (`Assignment.index` of -2).

    Example:
        >>> @vg.register(package="garden")
        ... class AllCells(vg.assigners.Assigner):
        ...     def __call__(self, candidates, targets):
        ...         count = candidates.boxes.shape[1]
        ...         weight = keras.ops.ones((len(targets["classes"]), count))
        ...         index = keras.ops.zeros_like(weight, dtype="int32")
        ...         return vg.types.Assignment(index, weight)
        >>> vg.assigners.Assigner.from_dict({"type": "AllCells"})
        AllCells()
    """

    ignores: ClassVar[bool] = False

    def __call__(self, candidates: Candidates, targets: Targets) -> Assignment:
        """Assign the objects of a batch; no gradient passes through the result.

        Args:
            candidates: predictions of the head.
            targets: "boxes" (batch, m, 4), xyxy, pixels of the network's input, and "classes"
                (batch, m) int32, -1 pads.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `__call__`")

    def max_positives(self, objects: int, candidates: Candidates) -> int:
        """Return the largest number of positives of an image, which losses gather.

        Shapes are static in compiled steps. A smaller number than the default, all predictions,
        makes the step faster.

        Args:
            objects: m, the number of rows of the targets.
            candidates: predictions of the head.
        """
        return int(candidates.boxes.shape[1])

    @property
    def min_overlap(self) -> float:
        """IoU that the shapes of an object and of an anchor must have to match; 0: any will do.

        Training is refused if no object of the training split reaches it.
        """
        return 0.0
