"""Loss of masks that are combined from prototypes: Bolya et al. 2019 (YOLACT), section 3.1."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from keras import ops
from pydantic import NonNegativeFloat, PositiveInt

from visiongarden.errors import UserError
from visiongarden.losses.bce import BinaryCrossentropy
from visiongarden.losses.detection import DetectionLoss, typed
from visiongarden.losses.loss import Loss
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.ops import flat, rows_of, single, spread_top_k, wide
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Targets, Tensor, Term


@register
class PrototypeMaskLoss(Loss):
    """Loss of a detection head, and a pixelwise loss of the masks of its positives.

    The mask of a positive is compared inside the box of its object, and divided by the number of
    cells there, so that small objects count as much as large ones (section 3.3). The count of the
    term is the number of these positives.

    Attributes:
        detection: loss of boxes and classes, which decides on the positives.
        mask_loss: loss of each cell of a mask.
        mask_gain: weight of the mask loss; 6.125 in the paper.
        masks_per_image: largest number of positives of an image whose masks are compared, those of
            the largest weight, and evenly spaced ones of equal weight; 100 in the paper's
            configuration. It bounds the memory of a step.

    Example:
        >>> head = vg.heads.AnchorFreeMasks(num_classes=3, loss={"mask_gain": 2})
        >>> head.loss.terms
        ('box', 'class', 'dfl', 'mask')
    """

    targets: ClassVar[tuple[str, ...]] = ("boxes", "classes", "masks")
    detection: DetectionLoss
    mask_loss: ScoreLoss = BinaryCrossentropy()
    mask_gain: NonNegativeFloat = 6.125
    masks_per_image: PositiveInt = 100

    @property
    def terms(self) -> tuple[str, ...]:  # type: ignore[override]  # a constant of other losses
        """Names of the terms: those of the detection loss, and "mask"."""
        return (*self.detection.terms, "mask")

    @property
    def head_fields(self) -> tuple[str, ...]:  # type: ignore[override]
        """Fields that a head must have: those of the detection loss, and the prototypes."""
        return (*self.detection.head_fields, "prototypes")

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: raw predictions of the detection head, and level -> "coefficients" (batch, h, w,
                [anchors,] prototypes); the finest level has "prototypes" (batch, H, W, prototypes).
            targets: "boxes" and "classes" as for the detection loss, and "masks" (batch, m, H, W),
                0 or 1, of the size of the prototypes.
            context: the head, the image size and the levels.

        Raises:
            UserError: the masks have another size than the prototypes.
        """
        targets = typed(targets)
        found = self.detection.assigned(raw, targets, context, context.head.chosen_assigner())
        terms = self.detection.assigned_terms(raw, targets, context, found)
        prototypes = single(raw, "prototypes")
        masks = ops.cast(targets["masks"], wide())
        if tuple(masks.shape[2:]) != tuple(prototypes.shape[1:3]):
            raise UserError(
                f"the masks of the targets have {_size(masks.shape[2:])} cells",
                rule=f"{_size(prototypes.shape[1:3])}, as the prototypes",
                fix="Masks.to_targets(capacity, size)",
            )
        kept = min(self.masks_per_image, found.most)
        index = spread_top_k(found.weight, kept)
        chosen = ops.cast(ops.take_along_axis(found.weight, index, axis=1) > 0, wide())
        owner = ops.maximum(rows_of(found.index, index), 0)
        coefficients = rows_of(flat(raw, "coefficients"), index)
        logits = ops.einsum("bkp,bhwp->bkhw", coefficients, prototypes)
        inside = cells_inside(rows_of(targets["boxes"], owner), context.image_size, masks.shape[2:])
        apart = self.mask_loss(rows_of(masks, owner), logits) * inside
        area = ops.maximum(ops.sum(inside, axis=(2, 3)), 1.0)
        total = ops.sum(ops.sum(apart, axis=(2, 3)) / area * chosen)
        return {**terms, "mask": Term(self.mask_gain * total, ops.sum(chosen))}


def cells_inside(boxes: Tensor, image_size: tuple[int, int], cells: tuple[int, int]) -> Tensor:
    """Return which cells have their center inside each box: float32 (batch, k, H, W), 0 or 1.

    A box that contains no center has the cell that contains its own.

    Args:
        boxes: (batch, k, 4), xyxy, pixels of the network's input.
        image_size: (height, width) of the network's input in pixels.
        cells: H and W.
    """

    def within(axis: int, side: int, count: int) -> Tensor:
        stride = -(-side // count)
        centers = ops.convert_to_tensor((np.arange(count, dtype=wide()) + 0.5) * stride)
        low, high = boxes[..., axis : axis + 1], boxes[..., axis + 2 : axis + 3]
        half = ops.maximum((high - low) / 2, stride / 2)
        return ops.cast(ops.abs(centers - (low + high) / 2) <= half, wide())

    rows = within(1, image_size[0], cells[0])
    columns = within(0, image_size[1], cells[1])
    return ops.expand_dims(rows, 3) * ops.expand_dims(columns, 2)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
