"""Loss of an anchor-based head with objectness."""

from __future__ import annotations

from typing import ClassVar

from keras import ops
from pydantic import NonNegativeFloat

from visiongarden.losses.bce import BinaryCrossentropy
from visiongarden.losses.box_loss import BoxLoss, CIoU
from visiongarden.losses.class_columns import class_columns, weighted
from visiongarden.losses.detection import Assigned, DetectionLoss
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.ops import AnchorGrid, ciou, flat, offsets_to_boxes, one_hot, rows_of, wide
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
class AnchorBasedLoss(DetectionLoss):
    """Loss of boxes and classes on the positives, objectness loss on every anchor of every cell.

    The target of the objectness is the overlap of the prediction (Redmon et al. 2016, YOLO, section
    2: confidence is Pr(object) * IoU), here the complete IoU. The count of each term is the number
    of positives; the gains 5, 1, 1 are those of YOLOX (Ge et al. 2021).

    Attributes:
        box_loss: loss of a positive's box.
        class_loss: loss of the class scores of a positive.
        objectness_loss: loss of the objectness.
        box_gain: weight of the box loss.
        objectness_gain: weight of the objectness loss.
        class_gain: weight of the class loss.
        class_weights: weight of each class in the class loss; 0 ignores a class; None: all 1.

    Example:
        >>> vg.losses.AnchorBasedLoss(objectness_loss={"type": "Focal", "gamma": 1.5})
        AnchorBasedLoss(objectness_loss=Focal(gamma=1.5))
    """

    terms: ClassVar[tuple[str, ...]] = ("box", "objectness", "class")
    shared_count: ClassVar[bool] = True
    head_fields: ClassVar[tuple[str, ...]] = (
        *("num_classes", "anchors", "scale_xy", "size_encoding", "assigner"),
    )
    box_loss: BoxLoss = CIoU()
    class_loss: ScoreLoss = BinaryCrossentropy()
    objectness_loss: ScoreLoss = BinaryCrossentropy()
    box_gain: NonNegativeFloat = 5.0
    objectness_gain: NonNegativeFloat = 1.0
    class_gain: NonNegativeFloat = 1.0
    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def candidates(self, raw: RawPredictions, context: HeadContext) -> Candidates:
        """Return the decoded predictions, see `DetectionLoss.candidates`."""
        head = context.head
        grid = AnchorGrid(head.anchors, context.image_size, head.scale_xy)
        predicted = offsets_to_boxes(
            ops.stop_gradient(flat(raw, "boxes")),
            grid.cells,
            grid.strides,
            grid.anchors,
            grid.scales,
            head.size_encoding,
        )
        objectness = ops.expand_dims(ops.sigmoid(flat(raw, "objectness", 0)), -1)
        return Candidates(
            ops.sigmoid(flat(raw, "classes")) * objectness,
            predicted,
            (grid.cells + 0.5) * grid.strides[:, None],
            grid.strides,
            grid.anchors,
        )

    def assigned_terms(
        self, raw: RawPredictions, targets: Targets, context: HeadContext, found: Assigned
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: level -> {"boxes": (batch, h, w, a, 4), "objectness": (batch, h, w, a), "classes":
                (batch, h, w, a, classes)}.
            targets: "boxes" (batch, m, 4), xyxy, pixels of the network's input, and "classes"
                (batch, m) int32, -1 pads.
            context: the head, the image size and the levels.
            found: which prediction is trained on which object.
        """
        head = context.head
        grid = AnchorGrid(head.anchors, context.image_size, head.scale_xy)
        boxes, classes = targets["boxes"], targets["classes"]
        objectness, logits = flat(raw, "objectness", 0), flat(raw, "classes")
        offsets = flat(raw, "boxes")
        # Box and class terms are computed for the positives alone, which are gathered: a few per
        # box instead of all anchors of all cells.
        taken, index = ops.top_k(found.weight, found.most)
        owner = ops.maximum(rows_of(found.index, index), 0)
        cells, strides, anchors, scales = (
            ops.take(ops.convert_to_tensor(known), index, axis=0)
            for known in (grid.cells, grid.strides, grid.anchors, grid.scales)
        )
        own = offsets_to_boxes(
            rows_of(offsets, index), cells, strides, anchors, scales, head.size_encoding
        )
        wanted = rows_of(boxes, owner)
        hot = one_hot(rows_of(classes, owner), head.num_classes)
        entropy = self.class_loss(hot, rows_of(logits, index))
        columns = class_columns(targets, self.class_weights, head.num_classes)
        entropy = weighted(entropy, columns)
        quality = ops.stop_gradient(ops.clip(ciou(own, wanted), 0, 1)) * taken
        presence = self.objectness_loss(_at(quality, index, grid.count), objectness)
        if found.ignores:
            presence = presence * ops.cast(ops.not_equal(found.index, IGNORED), wide())
        count = ops.sum(taken)
        return {
            "box": Term(self.box_gain * ops.sum(self.box_loss(wanted, own) * taken), count),
            "objectness": Term(self.objectness_gain * ops.sum(presence), count),
            "class": Term(self.class_gain * ops.sum(ops.sum(entropy, axis=-1) * taken), count),
        }


def _at(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Return (batch, count) with `values` (batch, k) at `index` (batch, k), and 0 elsewhere."""
    batch = ops.shape(index)[0]
    rows = ops.expand_dims(ops.arange(batch, dtype="int32") * count, -1)
    found = ops.segment_max(
        ops.reshape(values, (-1,)), ops.reshape(index + rows, (-1,)), batch * count
    )
    # Segments without a value are the lowest float value, not 0.
    return ops.reshape(ops.maximum(found, 0.0), (batch, count))
