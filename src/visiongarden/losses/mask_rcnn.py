"""Loss of Mask R-CNN: He et al. 2017, section 3; anchors as in Ren et al. 2015 (Faster R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from keras import ops
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from visiongarden.losses.bce import BinaryCrossentropy
from visiongarden.losses.class_columns import KNOWN, class_columns
from visiongarden.losses.crossentropy import softmax_crossentropy
from visiongarden.losses.detection import typed
from visiongarden.losses.loss import Loss
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.losses.smooth_l1_loss import smooth_l1
from visiongarden.ops import (
    boxes_to_deltas,
    centers_of,
    crop_masks,
    deltas_to_boxes,
    flat,
    kth_largest,
    match_regions,
    one_hot,
    region_names,
    rows_of,
    single,
    wide,
)
from visiongarden.registry import register
from visiongarden.types import (
    BACKGROUND,
    Candidates,
    HeadContext,
    RawPredictions,
    Targets,
    Tensor,
    Term,
)

_UNKNOWN = -1e9
"""Summand of the logits of classes that are not annotated: their probability is 0."""

_MIN_SIDE = 1e-3
"""Smallest side in pixels of a region; regions without area pad, and have no effect."""


@register
class MaskRCNNLoss(Loss):
    """Losses of anchors (objectness and boxes), of regions (classes and boxes), and of masks.

    Of each image, `anchors_per_image` anchors are sampled at random, at most a share of
    `positive_share` of them positives. The counts are the sampled anchors, the regions, and the
    regions with an object. Terms of several stages of the box head are added, each with half the
    weight of the one before (Cai & Vasconcelos 2018, Cascade R-CNN, as published).

    Attributes:
        anchors_per_image: number of anchors of an image that are sampled.
        positive_share: largest share of positives among them.
        beta: difference of two deltas at which smooth L1 becomes linear.
        mask_loss: loss of each cell of a mask.
        objectness_gain: weight of the objectness loss.
        proposal_gain: weight of the loss of the anchors' boxes.
        class_gain: weight of the class loss.
        box_gain: weight of the loss of the regions' boxes.
        mask_gain: weight of the mask loss.
        class_weights: weight of each class in the class loss; 0 ignores regions of a class; None:
            all 1.

    Example:
        >>> head = vg.heads.MaskRCNN(num_classes=3, loss={"mask_gain": 2})
        >>> head.loss.terms
        ('objectness', 'proposal', 'class', 'box', 'mask')
    """

    terms: ClassVar[tuple[str, ...]] = ("objectness", "proposal", "class", "box", "mask")
    targets: ClassVar[tuple[str, ...]] = ("boxes", "classes", "masks")
    head_fields: ClassVar[tuple[str, ...]] = (
        *("num_classes", "anchor_size", "anchor_scales", "anchor_ratios", "anchor_offset"),
        *("anchor_rounding", "delta_weights", "assigner", "cascade", "region_weights"),
    )
    anchors_per_image: PositiveInt = 256
    positive_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    beta: PositiveFloat = 1 / 9
    mask_loss: ScoreLoss = BinaryCrossentropy()
    objectness_gain: NonNegativeFloat = 1.0
    proposal_gain: NonNegativeFloat = 1.0
    class_gain: NonNegativeFloat = 1.0
    box_gain: NonNegativeFloat = 1.0
    mask_gain: NonNegativeFloat = 1.0
    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: raw predictions, see `MaskRCNN.wire`.
            targets: "boxes" (batch, m, 4), xyxy, pixels of the network's input; "classes" (batch,
                m) int32, -1 pads; and "masks" (batch, m, H, W), 0 or 1.
            context: the head, the image size and the levels.
        """
        targets = typed(targets)
        terms = self._of_anchors(raw, targets, context)
        stages = [
            self._of_regions(raw, targets, context, stage)
            for stage in range(len(context.head.cascade))
        ]
        for name in ("class", "box"):
            total: Any = sum(0.5**stage * each[name].total for stage, each in enumerate(stages))
            terms[name] = Term(total, stages[0][name].count)
        return terms | {"mask": self._of_masks(raw, targets, context)}

    def _of_anchors(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the terms of the sampled anchors."""
        head = context.head
        grid = head.grid(raw, context.image_size)
        placed = head.anchor_centers(grid), grid.anchors, head.delta_weights
        logits, deltas = flat(raw, "objectness", 0), flat(raw, "boxes")
        scores = ops.expand_dims(ops.sigmoid(ops.stop_gradient(logits)), -1)
        candidates = Candidates(
            scores, deltas_to_boxes(deltas, *placed), placed[0], grid.strides, grid.anchors
        )
        index = head.chosen_assigner()(candidates, targets).index
        positive, negative = self._sampled(index, flat(raw, "order", 0))
        entropy = BinaryCrossentropy()(positive, logits) * (positive + negative)
        wanted = rows_of(targets["boxes"], ops.maximum(index, 0))
        apart = ops.sum(smooth_l1(boxes_to_deltas(wanted, *placed), deltas, self.beta), axis=-1)
        count = ops.sum(positive + negative)
        return {
            "objectness": Term(self.objectness_gain * ops.sum(entropy), count),
            "proposal": Term(self.proposal_gain * ops.sum(apart * positive), count),
        }

    def _sampled(self, index: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Return which anchors are sampled as positives and as negatives, (batch, n), 0 or 1.

        Args:
            index: (batch, n), see `Assignment`.
            order: (batch, n), random numbers of 0 or more; those with the highest are sampled.
        """
        count = min(self.anchors_per_image, int(index.shape[1]))
        most = max(1, int(count * self.positive_share))
        keys = ops.where(index >= 0, order, -1.0)
        positive = (index >= 0) & (order >= kth_largest(keys, most))
        free = count - ops.sum(ops.cast(positive, "int32"), axis=-1, keepdims=True)
        keys = ops.top_k(ops.where(index == BACKGROUND, order, -1.0), count)[0]
        last = ops.take_along_axis(keys, ops.maximum(free - 1, 0), axis=-1)
        negative = (index == BACKGROUND) & (order >= last) & (free > 0)
        return ops.cast(positive, wide()), ops.cast(negative, wide())

    def _of_regions(
        self, raw: RawPredictions, targets: Targets, context: HeadContext, stage: int
    ) -> dict[str, Term]:
        """Return the terms of one stage of the box head."""
        head, names = context.head, region_names(stage)
        regions, logits, deltas = (single(raw, name) for name in names)
        regions = ops.stop_gradient(regions)
        boxes, classes = targets["boxes"], targets["classes"]
        found = match_regions(regions, boxes, classes, head.cascade[stage])
        own = rows_of(classes, found.owner)
        wanted = ops.where(found.positive > 0, own + 1, 0)
        weight = found.valid * self._weights(own, found.positive, head.num_classes)
        if KNOWN in targets:
            known = ops.expand_dims(ops.cast(targets[KNOWN], wide()), 1)
            known = ops.concatenate([ops.ones_like(known[..., :1]), known], axis=-1)
            logits = logits + (1 - known) * _UNKNOWN
        entropy = softmax_crossentropy(one_hot(wanted, head.num_classes + 1), logits)
        center, size = centers_of(regions)
        placed = center, ops.maximum(size, _MIN_SIDE), head.stage_weights(stage)
        encoded = boxes_to_deltas(rows_of(boxes, found.owner), *placed)
        chosen = _column(deltas, own, head.num_classes, axis=-2)
        apart = ops.sum(smooth_l1(encoded, chosen, self.beta), axis=-1)
        count = ops.sum(found.valid)
        return {
            "class": Term(self.class_gain * ops.sum(entropy * weight), count),
            "box": Term(self.box_gain * ops.sum(apart * found.positive), count),
        }

    def _weights(self, classes: Tensor, positive: Tensor, num_classes: int) -> Tensor | float:
        """Return the weight of each region in the class loss; background has 1."""
        columns = class_columns({}, self.class_weights, num_classes)
        if columns is None:
            return 1.0
        own = ops.sum(one_hot(classes, num_classes) * ops.expand_dims(columns, 1), axis=-1)
        return ops.where(positive > 0, own, 1.0)

    def _of_masks(self, raw: RawPredictions, targets: Targets, context: HeadContext) -> Term:
        """Return the term of masks, of the regions with an object."""
        head = context.head
        regions, logits = ops.stop_gradient(single(raw, "mask_regions")), single(raw, "masks")
        boxes, classes = targets["boxes"], targets["classes"]
        found = match_regions(regions, boxes, classes, head.cascade[0])
        masks = targets["masks"]
        stride = -(-context.image_size[0] // int(masks.shape[2]))
        rows, columns = (int(side) for side in logits.shape[2:4])
        wanted = crop_masks(masks, found.owner, regions, stride, (rows, columns))
        chosen = _column(logits, rows_of(classes, found.owner), head.num_classes, axis=-1)
        apart = ops.mean(self.mask_loss(wanted, chosen), axis=(2, 3))
        return Term(self.mask_gain * ops.sum(apart * found.positive), ops.sum(found.positive))


def _column(x: Tensor, classes: Tensor, num_classes: int, axis: int) -> Tensor:
    """Return the prediction of the class of each region.

    Args:
        x: (batch, k, ...) with an axis of all classes, before which the background may be, or of
            one prediction for all.
        classes: (batch, k) int32.
        num_classes: number of classes.
        axis: the axis, counted from the end.
    """
    columns = int(x.shape[axis])
    if columns == 1:
        return ops.squeeze(x, axis)
    hot = one_hot(classes + (columns - num_classes), columns)
    after = -1 - axis
    shape: Sequence[Any] = (
        *ops.shape(hot)[:2],
        *(1,) * (len(x.shape) - 3 - after),
        columns,
        *(1,) * after,
    )
    return ops.sum(x * ops.reshape(hot, shape), axis=axis)
