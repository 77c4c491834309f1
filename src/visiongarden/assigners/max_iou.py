"""Assignment by the overlap with anchors: RetinaNet, Lin et al. 2017, section 4, "Anchors"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from keras import ops
from pydantic import Field, model_validator

from visiongarden.assigners.assigner import FAR, Assigner
from visiongarden.errors import ConfigError, UserError
from visiongarden.ops import pairwise_iou, wide
from visiongarden.registry import register
from visiongarden.types import BACKGROUND, IGNORED, Assignment, Candidates, Targets

_TIE = 1e-6
"""IoUs that differ less are equal: backends round the same overlap differently."""


@register
class MaxIoU(Assigner):
    """Assign each anchor to the object that it overlaps most, if the IoU is high enough.

    Anchors with an IoU below `negative` are background; those between both thresholds are ignored.
    So that each object has an anchor, the anchors that overlap an object most are positives
    whatever the IoU (Ren et al. 2015, Faster R-CNN, section 3.1.2, condition i).

    Attributes:
        positive: minimum IoU of a positive.
        negative: IoU below which an anchor is background; at most `positive`.
        match_best: whether the anchors with the highest IoU of an object are always positives.

    Example:
        >>> vg.assigners.MaxIoU(positive=0.7, negative=0.3).to_dict()
        {'type': 'MaxIoU', 'positive': 0.7, 'negative': 0.3, 'match_best': True}
    """

    ignores: ClassVar[bool] = True
    positive: Annotated[float, Field(gt=0, le=1)] = 0.5
    negative: Annotated[float, Field(ge=0, le=1)] = 0.4
    match_best: bool = True

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> Self:
        if self.negative > self.positive:
            raise ConfigError(
                f"the thresholds of {type(self).__name__} overlap",
                rule="negative is at most positive",
                received=f"negative={self.negative}, positive={self.positive}",
                fix=f"negative={self.positive}",
            )
        return self

    def __call__(self, candidates: Candidates, targets: Targets) -> Assignment:
        """Assign the objects of a batch by the overlap of boxes and anchors.

        Returns:
            The assignment; the weight of a positive is 1.

        Raises:
            UserError: the head has no anchors.
        """
        if candidates.anchors is None:
            raise UserError(
                "the assigner MaxIoU needs a head with anchors",
                rule="predictions with an anchor each, as those of RetinaNetHead",
                fix="assigner=TaskAligned()",
            )
        boxes = ops.cast(targets["boxes"], wide())
        half = candidates.anchors / 2
        anchors = ops.concatenate([candidates.points - half, candidates.points + half], axis=-1)
        real = ops.expand_dims(ops.convert_to_tensor(targets["classes"]) >= 0, -1)
        # (batch, m, n), 0 for padding rows.
        overlap = ops.where(real, pairwise_iou(boxes, anchors), 0.0)
        highest = ops.max(overlap, axis=1)
        chosen = highest >= self.positive
        if self.match_best:
            best = ops.max(overlap, axis=-1, keepdims=True)
            chosen = chosen | ops.any((overlap >= best - _TIE) & (best > 0), axis=1)
        index = ops.cast(ops.argmax(overlap, axis=1), "int32")
        other = ops.where(highest < self.negative, BACKGROUND, IGNORED)
        return Assignment(ops.where(chosen, index, other), ops.cast(chosen, wide()))

    @property
    def min_overlap(self) -> float:
        """`positive`, but at most 0.1 if the best anchor is always assigned."""
        return min(FAR, self.positive) if self.match_best else self.positive
