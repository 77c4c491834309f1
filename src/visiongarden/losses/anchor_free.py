"""Loss of an anchor-free head with box distributions."""

from __future__ import annotations

from typing import ClassVar

from keras import ops
from pydantic import NonNegativeFloat

from visiongarden.losses.bce import BinaryCrossentropy
from visiongarden.losses.box_loss import BoxLoss, CIoU
from visiongarden.losses.class_columns import class_columns, weighted
from visiongarden.losses.detection import Assigned, DetectionLoss
from visiongarden.losses.dfl import distribution_focal
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.ops import cells_of, distances_to_boxes, flat, one_hot, rows_of, wide
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
class AnchorFreeLoss(DetectionLoss):
    """Loss of boxes and distribution focal loss on the positives, class loss on all cells.

    The count of each term is the sum of the positives' quality (TOOD, Feng et al. 2021, section
    3.3.1), so that the loss does not grow with the batch size or the number of objects. The gains
    are those of YOLOv8's published training configuration.

    Attributes:
        box_loss: loss of a positive's box.
        class_loss: loss of the class scores.
        box_gain: weight of the box loss.
        class_gain: weight of the class loss.
        dfl_gain: weight of the distribution focal loss.
        class_weights: weight of each class in the class loss; 0 ignores a class; None: all 1.

    Example:
        >>> loss = vg.losses.AnchorFreeLoss(class_loss="Varifocal", box_gain=5)
        >>> vg.heads.AnchorFree(num_classes=3, loss=loss)
        AnchorFree(num_classes=3, loss=AnchorFreeLoss(class_loss=Varifocal(), box_gain=5.0))
    """

    terms: ClassVar[tuple[str, ...]] = ("box", "class", "dfl")
    head_fields: ClassVar[tuple[str, ...]] = ("num_classes", "bins", "assigner")
    shared_count: ClassVar[bool] = True
    box_loss: BoxLoss = CIoU()
    class_loss: ScoreLoss = BinaryCrossentropy()
    box_gain: NonNegativeFloat = 7.5
    class_gain: NonNegativeFloat = 0.5
    dfl_gain: NonNegativeFloat = 1.5
    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def candidates(self, raw: RawPredictions, context: HeadContext) -> Candidates:
        """Return the decoded predictions, see `DetectionLoss.candidates`."""
        cells = cells_of(raw, context.image_size)
        sides = _sides(raw, len(cells.strides), context.head.bins)
        predicted = distances_to_boxes(ops.stop_gradient(sides), cells.centers, cells.strides)
        scores = ops.sigmoid(flat(raw, "classes"))
        return Candidates(scores, predicted, cells.centers, cells.strides)

    def assigned_terms(
        self, raw: RawPredictions, targets: Targets, context: HeadContext, found: Assigned
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: level -> {"boxes": (batch, h, w, 4 * bins), "classes": (batch, h, w, classes)}.
            targets: "boxes" (batch, m, 4), xyxy, pixels of the network's input, and "classes"
                (batch, m) int32, -1 pads.
            context: the head, the image size and the levels.
            found: which prediction is trained on which object.
        """
        cells, head = cells_of(raw, context.image_size), context.head
        boxes, classes = targets["boxes"], targets["classes"]
        logits = flat(raw, "classes")
        sides = _sides(raw, len(cells.strides), head.bins)
        # Box terms are computed for the positives alone, which are gathered: at most `top_k` per
        # box, so that shapes stay static. On a CPU this reduced the loss from 65 to 21 ms.
        quality, index = ops.top_k(found.weight, found.most)
        owner = ops.maximum(rows_of(found.index, index), 0)
        wanted, kinds, own = rows_of(boxes, owner), rows_of(classes, owner), rows_of(sides, index)
        centers, strides = (
            ops.take(ops.convert_to_tensor(x), index, axis=0)
            for x in (cells.centers, cells.strides)
        )
        apart = self.box_loss(wanted, distances_to_boxes(own, centers, strides))
        spread = ops.mean(distribution_focal(_distances(wanted, centers, strides), own), axis=-1)
        # The first part runs over all cells; the second one is 0 except for the positives.
        right = one_hot(kinds, head.num_classes) * ops.expand_dims(quality, -1)
        everywhere = self.class_loss.background(logits)
        if found.ignores:
            counted = ops.cast(ops.not_equal(found.index, IGNORED), wide())
            everywhere = everywhere * ops.expand_dims(counted, -1)
        excess = self.class_loss.excess(right, rows_of(logits, index))
        columns = class_columns(targets, self.class_weights, head.num_classes)
        everywhere, excess = weighted(everywhere, columns), weighted(excess, columns)
        count = ops.sum(quality)
        return {
            "box": Term(self.box_gain * ops.sum(apart * quality), count),
            "class": Term(self.class_gain * (ops.sum(everywhere) + ops.sum(excess)), count),
            "dfl": Term(self.dfl_gain * ops.sum(spread * quality), count),
        }


def _sides(raw: RawPredictions, count: int, bins: int) -> Tensor:
    """Return the distributions of the distances to the four sides, (batch, count, 4, bins)."""
    sides = flat(raw, "boxes")
    return ops.reshape(sides, (ops.shape(sides)[0], count, 4, bins))


def _distances(boxes: Tensor, centers: Tensor, strides: Tensor) -> Tensor:
    """Return the distances from each center to the four sides in strides, (batch, n, 4)."""
    low, high = centers - boxes[..., :2], boxes[..., 2:] - centers
    return ops.concatenate([low, high], axis=-1) / ops.expand_dims(strides, -1)
