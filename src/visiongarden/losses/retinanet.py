"""Loss of RetinaNet: Lin et al. 2017 (arXiv 1708.02002), sections 3.2 and 4.1."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops
from pydantic import NonNegativeFloat, PositiveFloat

from visiongarden.losses.box_loss import BoxLoss
from visiongarden.losses.class_columns import class_columns, weighted
from visiongarden.losses.detection import Assigned, DetectionLoss
from visiongarden.losses.focal_loss import Focal
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.losses.smooth_l1_loss import smooth_l1
from visiongarden.ops import boxes_to_deltas, deltas_to_boxes, flat, one_hot, rows_of, wide
from visiongarden.registry import register
from visiongarden.types import (
    IGNORED,
    Candidates,
    HeadContext,
    RawPredictions,
    Targets,
    Tensor,
    Term,
)


@register
class RetinaNetLoss(DetectionLoss):
    """Focal loss of all anchors that are not ignored, and smooth L1 loss of the positives' deltas.

    The count of both terms is the number of positives of the global batch, at least 1. Images
    without objects are trained as background.

    Attributes:
        class_loss: loss of the class scores.
        box_loss: loss of the decoded boxes in place of the smooth L1 loss of their deltas, such as
            `GIoU`; None for the deltas.
        beta: difference of two deltas at which smooth L1 becomes linear.
        class_gain: weight of the class loss.
        box_gain: weight of the box loss.
        class_weights: weight of each class in the class loss; 0 ignores a class; None: all 1.

    Example:
        >>> vg.losses.RetinaNetLoss(box_loss="GIoU")
        RetinaNetLoss(box_loss=GIoU())
    """

    terms: ClassVar[tuple[str, ...]] = ("class", "box")
    shared_count: ClassVar[bool] = True
    head_fields: ClassVar[tuple[str, ...]] = (
        *("num_classes", "anchor_size", "anchor_scales", "anchor_ratios", "anchor_offset"),
        *("anchor_rounding", "delta_weights", "assigner"),
    )
    class_loss: ScoreLoss = Focal()
    box_loss: BoxLoss | None = None
    beta: PositiveFloat = 0.1
    class_gain: NonNegativeFloat = 1.0
    box_gain: NonNegativeFloat = 1.0
    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def candidates(self, raw: RawPredictions, context: HeadContext) -> Candidates:
        """Return the decoded predictions, see `DetectionLoss.candidates`."""
        grid = context.head.grid(raw, context.image_size)
        centers = context.head.anchor_centers(grid)
        weights = context.head.delta_weights
        decoded = deltas_to_boxes(flat(raw, "boxes"), centers, grid.anchors, weights)
        scores = ops.sigmoid(ops.stop_gradient(flat(raw, "classes")))
        return Candidates(scores, decoded, centers, grid.strides, grid.anchors)

    def assigned_terms(
        self, raw: RawPredictions, targets: Targets, context: HeadContext, found: Assigned
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: level -> {"boxes": (batch, h, w, a, 4), "classes": (batch, h, w, a, classes)}.
            targets: "boxes" (batch, m, 4), xyxy, pixels of the network's input, and "classes"
                (batch, m) int32, -1 pads.
            context: the head, the image size and the levels.
            found: which prediction is trained on which object.
        """
        head, decoded = context.head, found.candidates.boxes
        boxes, classes = targets["boxes"], targets["classes"]
        logits, deltas = flat(raw, "classes"), flat(raw, "boxes")
        placed = found.candidates.points, found.candidates.anchors, head.delta_weights
        owner, positive = ops.maximum(found.index, 0), found.weight
        hot = one_hot(rows_of(classes, owner), head.num_classes) * ops.expand_dims(positive, -1)
        entropy = self.class_loss(hot, logits)
        counted = ops.cast(ops.not_equal(found.index, IGNORED), wide())
        entropy = entropy * ops.expand_dims(counted, -1)
        columns = class_columns(targets, self.class_weights, head.num_classes)
        entropy = weighted(entropy, columns)
        apart = self._apart(rows_of(boxes, owner), deltas, decoded, placed)
        count = ops.sum(ops.cast(found.index >= 0, wide()))
        return {
            "class": Term(self.class_gain * ops.sum(entropy), count),
            "box": Term(self.box_gain * ops.sum(apart * positive), count),
        }

    def _apart(
        self,
        wanted: Tensor,
        deltas: Tensor,
        decoded: Tensor,
        placed: tuple[Any, Any, tuple[float, ...]],
    ) -> Tensor:
        """Return the loss of each box as if it were a positive, (batch, n)."""
        if self.box_loss is not None:
            return self.box_loss(wanted, decoded)
        return ops.sum(smooth_l1(boxes_to_deltas(wanted, *placed), deltas, self.beta), axis=-1)
