"""Loss of a segmentation head."""

from __future__ import annotations

from typing import Annotated, ClassVar

from keras import ops
from pydantic import Field, NonNegativeFloat

from visiongarden.losses.class_columns import class_columns
from visiongarden.losses.crossentropy import softmax_crossentropy
from visiongarden.losses.hard_examples import hardest
from visiongarden.losses.loss import Loss
from visiongarden.losses.region_loss import RegionLoss
from visiongarden.ops import one_hot, wide
from visiongarden.registry import register
from visiongarden.types import IGNORE, HeadContext, RawPredictions, Targets, Term


@register
class SegmentationLoss(Loss):
    """Softmax cross-entropy of each pixel, plus a loss of regions if there is one.

    Pixels of class 255 are ignored. The cross-entropy is the mean over all other pixels, or over
    the hardest ones; the loss of regions is the mean over the images.

    Attributes:
        label_smoothing: fraction of a target that is spread evenly over all classes.
        class_weights: weight of each class in the cross-entropy; 0 ignores a class; None: all 1.
        hardest: fraction of the pixels of an image that is used, those with the largest loss
            (OHEM); 1 uses all.
        region_loss: `Dice`, `Tversky`, `Lovasz` or a loss of your own; None without.
        region_gain: weight of the loss of regions, relative to the cross-entropy's 1.

    Example:
        >>> loss = vg.losses.SegmentationLoss(region_loss="Dice", hardest=0.25)
        >>> loss.terms
        ('pixel', 'region')
    """

    targets: ClassVar[tuple[str, ...]] = ("semantic",)
    head_fields: ClassVar[tuple[str, ...]] = ("num_classes",)
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: tuple[NonNegativeFloat, ...] | None = None
    hardest: Annotated[float, Field(gt=0, le=1)] = 1.0
    region_loss: RegionLoss | None = None
    region_gain: NonNegativeFloat = 1.0

    @property
    def terms(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the fields
        """Names of the terms."""
        return ("pixel",) if self.region_loss is None else ("pixel", "region")

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the weighted terms.

        Args:
            raw: level -> {"classes": (batch, height, width, classes)}, one level.
            targets: "semantic" (batch, height, width) integers; 255 is ignored.
            context: the head, the image size and the levels.
        """
        (level,) = raw.values()
        count = context.head.num_classes
        logits = ops.cast(level["classes"], wide())
        masks = ops.cast(targets["semantic"], "int32")
        counted = ops.cast(ops.not_equal(masks, IGNORE), wide())
        classes = ops.where(ops.equal(masks, IGNORE), 0, masks)
        hot = one_hot(classes, count)
        columns = class_columns({}, self.class_weights, count)
        entropy = softmax_crossentropy(
            hot, logits, self.label_smoothing, None if columns is None else columns[0]
        )
        batch, pixels = ops.shape(logits)[0], context.image_size[0] * context.image_size[1]
        if self.hardest < 1:
            values, kept = hardest(
                ops.reshape(entropy, (batch, pixels)),
                ops.reshape(counted, (batch, pixels)),
                self.hardest,
            )
        else:
            values, kept = entropy * counted, counted
            if columns is not None:
                # As in PyTorch, the mean is weighted, too.
                kept = counted * ops.sum(hot * columns, axis=-1)
        found = {"pixel": Term(ops.sum(values), ops.sum(kept))}
        if self.region_loss is not None:
            apart = self.region_loss(
                ops.reshape(hot, (batch, pixels, count)),
                ops.reshape(ops.softmax(logits, axis=-1), (batch, pixels, count)),
                ops.reshape(counted, (batch, pixels)),
            )
            images = ops.sum(ops.ones_like(apart))
            found["region"] = Term(self.region_gain * ops.sum(apart), images)
        return found
