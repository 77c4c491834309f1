"""Loss of YOLOX's decoupled head: Ge et al. 2021 (arXiv 2107.08430), section 2.1."""

from __future__ import annotations

from typing import ClassVar

from keras import ops
from pydantic import NonNegativeFloat

from visiongarden.losses.bce import BinaryCrossentropy
from visiongarden.losses.box_loss import BoxLoss, GIoU
from visiongarden.losses.class_columns import class_columns, weighted
from visiongarden.losses.detection import Assigned, DetectionLoss
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.ops import cells_of, flat, iou, one_hot, points_to_boxes, rows_of, wide
from visiongarden.registry import register
from visiongarden.types import IGNORED, Candidates, HeadContext, RawPredictions, Targets, Term


@register
class DecoupledLoss(DetectionLoss):
    """Loss of boxes and classes on the positives, objectness loss on all cells.

    The target of a class is the IoU of the prediction. The count of each term is the number of
    positives.

    Attributes:
        box_loss: loss of a positive's box. YOLOX has `IoU(power=2)`, whose gradient is 0 without
            overlap; small objects are learned sooner with the default.
        class_loss: loss of the class scores of a positive.
        objectness_loss: loss of the objectness.
        box_gain: weight of the box loss.
        objectness_gain: weight of the objectness loss.
        class_gain: weight of the class loss.
        class_weights: weight of each class in the class loss; 0 ignores a class; None: all 1.

    Example:
        >>> vg.losses.DecoupledLoss(box_loss={"type": "IoU", "power": 2}).box_loss
        IoU(power=2.0)
    """

    terms: ClassVar[tuple[str, ...]] = ("box", "objectness", "class")
    shared_count: ClassVar[bool] = True
    head_fields: ClassVar[tuple[str, ...]] = ("num_classes", "assigner")
    box_loss: BoxLoss = GIoU()
    class_loss: ScoreLoss = BinaryCrossentropy()
    objectness_loss: ScoreLoss = BinaryCrossentropy()
    box_gain: NonNegativeFloat = 5.0
    objectness_gain: NonNegativeFloat = 1.0
    class_gain: NonNegativeFloat = 1.0
    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def candidates(self, raw: RawPredictions, context: HeadContext) -> Candidates:
        """Return the decoded predictions, see `DetectionLoss.candidates`."""
        cells = cells_of(raw, context.image_size)
        predicted = points_to_boxes(flat(raw, "boxes"), cells.centers, cells.strides)
        scores = ops.sigmoid(flat(raw, "classes")) * ops.sigmoid(flat(raw, "objectness"))
        return Candidates(scores, predicted, cells.centers, cells.strides)

    def assigned_terms(
        self, raw: RawPredictions, targets: Targets, context: HeadContext, found: Assigned
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: level -> {"boxes": (batch, h, w, 4), "objectness": (batch, h, w, 1), "classes":
                (batch, h, w, classes)}.
            targets: "boxes" (batch, m, 4), xyxy, pixels of the network's input, and "classes"
                (batch, m) int32, -1 pads.
            context: the head, the image size and the levels.
            found: which prediction is trained on which object.
        """
        head, predicted = context.head, found.candidates.boxes
        boxes, classes = targets["boxes"], targets["classes"]
        objectness, logits = flat(raw, "objectness"), flat(raw, "classes")
        owner, taken = ops.maximum(found.index, 0), found.weight
        wanted = rows_of(boxes, owner)
        overlap = ops.stop_gradient(iou(predicted, wanted)) * taken
        right = one_hot(rows_of(classes, owner), head.num_classes) * ops.expand_dims(overlap, -1)
        entropy = self.class_loss(right, logits)
        columns = class_columns(targets, self.class_weights, head.num_classes)
        entropy = weighted(entropy, columns)
        presence = self.objectness_loss(taken, objectness[..., 0])
        if found.ignores:
            presence = presence * ops.cast(ops.not_equal(found.index, IGNORED), wide())
        apart = self.box_loss(wanted, predicted)
        count = ops.sum(taken)
        return {
            "box": Term(self.box_gain * ops.sum(apart * taken), count),
            "objectness": Term(self.objectness_gain * ops.sum(presence), count),
            "class": Term(self.class_gain * ops.sum(ops.sum(entropy, axis=-1) * taken), count),
        }
