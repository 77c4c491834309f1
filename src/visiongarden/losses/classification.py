"""Loss of a classification head."""

from __future__ import annotations

from typing import Annotated, ClassVar

from keras import ops
from pydantic import Field

from visiongarden.config import Value
from visiongarden.losses.crossentropy import softmax_crossentropy
from visiongarden.types import ImageSize, RawPredictions, Tensor


class ClassificationLoss(Value):
    """Softmax cross-entropy, averaged over the batch.

    Attributes:
        label_smoothing: fraction of a target that is spread evenly over all classes.
    """

    terms: ClassVar[tuple[str, ...]] = ("class",)
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def __call__(
        self, raw: RawPredictions, labels: Tensor, image_size: ImageSize
    ) -> dict[str, Tensor]:
        """Return the loss as its only term.

        Args:
            raw: level -> {"classes": (batch, classes)}, one level.
            labels: (batch, classes) float, class probabilities of each image; rows sum to 1.
            image_size: (height, width) of the network's input.

        Returns:
            {"class": scalar}.
        """
        (level,) = raw.values()
        logits, targets = ops.cast(level["classes"], "float32"), ops.cast(labels, "float32")
        return {"class": ops.mean(softmax_crossentropy(targets, logits, self.label_smoothing))}
