"""Loss of a classification head."""

from __future__ import annotations

from typing import Annotated, ClassVar

from keras import ops
from pydantic import Field, NonNegativeFloat

from visiongarden.losses.class_columns import class_columns
from visiongarden.losses.crossentropy import softmax_crossentropy
from visiongarden.losses.loss import Loss
from visiongarden.ops import wide
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Targets, Term


@register
class ClassificationLoss(Loss):
    """Softmax cross-entropy, averaged over the images.

    Attributes:
        label_smoothing: fraction of a target that is spread evenly over all classes.
        class_weights: weight of each class; 0 ignores a class; None: all 1.

    Example:
        >>> raw = {"p5": {"classes": np.zeros((2, 4), "float32")}}
        >>> context = vg.types.HeadContext(vg.heads.Classification(num_classes=4), (64, 64), None)
        >>> term = vg.losses.ClassificationLoss()(raw, {"labels": np.eye(4)[:2]}, context)["class"]
        >>> round(float(term.total / term.count), 3)  # log 4
        1.386
    """

    terms: ClassVar[tuple[str, ...]] = ("class",)
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    head_fields: ClassVar[tuple[str, ...]] = ("num_classes",)
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    class_weights: tuple[NonNegativeFloat, ...] | None = None

    def __call__(
        self, raw: RawPredictions, targets: Targets, context: HeadContext
    ) -> dict[str, Term]:
        """Return the loss as its only term.

        Args:
            raw: level -> {"classes": (batch, classes)}, one level.
            targets: "labels" (batch, classes) float, class probabilities of each image; rows sum
                to 1.
            context: the head, the image size and the levels.
        """
        (level,) = raw.values()
        logits = ops.cast(level["classes"], wide())
        labels = ops.cast(targets["labels"], wide())
        # An unknown class gets no gradient: it has neither a target nor a place in the softmax.
        columns = class_columns({}, self.class_weights, context.head.num_classes)
        entropy = softmax_crossentropy(
            labels, logits, self.label_smoothing, None if columns is None else columns[0]
        )
        # As in PyTorch, the mean is weighted, too.
        counts = ops.ones_like(entropy) if columns is None else ops.sum(labels * columns, axis=-1)
        return {"class": Term(ops.sum(entropy), ops.sum(counts))}
