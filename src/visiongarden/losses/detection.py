"""`DetectionLoss`: base class of the losses of detection heads."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from keras import ops

from visiongarden.losses.loss import Loss
from visiongarden.ops import wide
from visiongarden.types import (
    Assignment,
    Candidates,
    HeadContext,
    RawPredictions,
    Targets,
    Tensor,
    Term,
)


class Assigned(NamedTuple):
    """Predictions of a batch and the objects that they are trained on.

    Attributes:
        index: (batch, n) int32, row of the object; -1 is background, and -2 is ignored.
        weight: (batch, n) float32, weight of a positive; 0 for others.
        most: largest number of positives of an image.
        ignores: whether predictions may be ignored.
        candidates: the predictions, decoded.

    Example:
        >>> vg.losses.Assigned._fields
        ('index', 'weight', 'most', 'ignores', 'candidates')
    """

    index: Tensor  # type: ignore[assignment]  # shadows tuple.index, which is not used here
    weight: Tensor
    most: int
    ignores: bool
    candidates: Candidates


class DetectionLoss(Loss):
    """Base class of losses that assign predictions to objects and then compare them.

    A subclass implements `candidates` and `assigned_terms`. Losses of further predictions, such as
    masks, train the same predictions on the same objects, see `assigned`.

    Example:
        >>> isinstance(vg.heads.AnchorFree(num_classes=3).loss, vg.losses.DetectionLoss)
        True
    """

    targets: ClassVar[tuple[str, ...]] = ("boxes", "classes")

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: raw predictions of the head, see `assigned_terms`.
            targets: "boxes" (batch, m, 4), xyxy, pixels of the network's input, and "classes"
                (batch, m) int32, -1 pads.
            context: the head, the image size and the levels.
        """
        return self.with_assigner(raw, targets, context, context.head.chosen_assigner())

    def with_assigner(
        self, raw: RawPredictions, targets: Targets, context: HeadContext, assigner: Any
    ) -> dict[str, Term]:
        """Return the terms with another `Assigner` than that of the head."""
        targets = typed(targets)
        found = self.assigned(raw, targets, context, assigner)
        return self.assigned_terms(raw, targets, context, found)

    def assigned(
        self, raw: RawPredictions, targets: Targets, context: HeadContext, assigner: Any
    ) -> Assigned:
        """Return which prediction is trained on which object, in the order of `ops.flat`.

        Args:
            raw: raw predictions of the head.
            targets: "boxes" float32 and "classes" int32, see `__call__`.
            context: the head, the image size and the levels.
            assigner: the assigner.
        """
        candidates = self.candidates(raw, context)
        found: Assignment = assigner(candidates, targets)
        most = assigner.max_positives(targets["boxes"].shape[1], candidates)
        return Assigned(found.index, found.weight, most, assigner.ignores, candidates)

    def candidates(self, raw: RawPredictions, context: HeadContext) -> Candidates:
        """Return the predictions, decoded, for the assigner; no gradient passes through the boxes.

        Args:
            raw: raw predictions of the head.
            context: the head, the image size and the levels.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `candidates`")

    def assigned_terms(
        self, raw: RawPredictions, targets: Targets, context: HeadContext, found: Assigned
    ) -> dict[str, Term]:
        """Return the weighted terms of predictions that are assigned.

        Args:
            raw: raw predictions of the head.
            targets: "boxes" float32 and "classes" int32, see `__call__`.
            context: the head, the image size and the levels.
            found: what `assigned` returned.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `assigned_terms`")


def typed(targets: Targets) -> dict[str, Any]:
    """Return targets with boxes as float32 and classes as int32."""
    return {
        **targets,
        "boxes": ops.cast(targets["boxes"], wide()),
        "classes": ops.cast(targets["classes"], "int32"),
    }
