"""Loss of a multi-label head."""

from __future__ import annotations

from typing import ClassVar

from keras import ops
from pydantic import NonNegativeFloat

from visiongarden.losses.bce import BinaryCrossentropy
from visiongarden.losses.class_columns import class_columns
from visiongarden.losses.loss import Loss
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.ops import wide
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Targets, Term


@register
class MultiLabelLoss(Loss):
    """Loss of each label of each image, averaged over the known labels.

    Unknown labels, NaN, and classes that a dataset does not annotate have no gradient.

    Attributes:
        class_loss: loss of each label.
        class_weights: factor of each class; 0 ignores a class; None: all 1.

    Example:
        >>> raw = {"p5": {"classes": np.zeros((1, 3), "float32")}}
        >>> targets = {"labels": np.array([[1.0, 0.0, np.nan]])}
        >>> context = vg.types.HeadContext(vg.heads.MultiLabel(num_classes=3), (64, 64), None)
        >>> term = vg.losses.MultiLabelLoss()(raw, targets, context)["class"]
        >>> round(float(term.total), 3), float(term.count)  # twice log 2
        (1.386, 2.0)
    """

    terms: ClassVar[tuple[str, ...]] = ("class",)
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    head_fields: ClassVar[tuple[str, ...]] = ("num_classes",)
    class_loss: ScoreLoss = BinaryCrossentropy()
    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the loss as its only term.

        Args:
            raw: level -> {"classes": (batch, classes)}, one level.
            targets: "labels" (batch, classes) float, 0 to 1; NaN is unknown.
            context: the head, the image size and the levels.

        Raises:
            UserError: the number of class weights is not that of the classes.
        """
        (level,) = raw.values()
        logits = ops.cast(level["classes"], wide())
        given = ops.cast(targets["labels"], wide())
        is_known = ops.logical_not(ops.isnan(given))
        # Replaced before any arithmetic: NaN times 0 is NaN, also in a gradient.
        losses = self.class_loss(ops.where(is_known, given, ops.zeros_like(given)), logits)
        known = ops.cast(is_known, wide())
        annotated = class_columns(targets, None, context.head.num_classes)
        known = known if annotated is None else known * annotated
        factors = class_columns({}, self.class_weights, context.head.num_classes)
        weights = known if factors is None else known * factors
        return {"class": Term(ops.sum(losses * weights), ops.sum(known))}
