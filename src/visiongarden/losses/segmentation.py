"""Loss of a segmentation head."""

from __future__ import annotations

from keras import ops
from pydantic import NonNegativeFloat, PositiveInt

from visiongarden.config import Value
from visiongarden.losses.crossentropy import softmax_crossentropy
from visiongarden.losses.dice_loss import dice
from visiongarden.ops import one_hot
from visiongarden.types import IGNORE, ImageSize, RawPredictions, Tensor


class SegmentationLoss(Value):
    """Softmax cross-entropy per pixel, plus Dice if it has a weight.

    Pixels of class 255 are ignored. The cross-entropy is the mean over all other pixels of the
    batch.

    Attributes:
        num_classes: number of classes.
        dice_gain: weight of the Dice loss, relative to the cross-entropy's 1; 0 disables it.
    """

    num_classes: PositiveInt
    dice_gain: NonNegativeFloat = 0.0

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms."""
        return ("pixel", "dice") if self.dice_gain else ("pixel",)

    def __call__(
        self, raw: RawPredictions, semantic: Tensor, image_size: ImageSize
    ) -> dict[str, Tensor]:
        """Return the weighted terms, whose sum is the loss.

        Args:
            raw: level -> {"classes": (batch, height, width, classes)}, one level.
            semantic: (batch, height, width) integers; 255 is ignored.
            image_size: (height, width) of the network's input.

        Returns:
            term -> scalar.
        """
        (level,) = raw.values()
        logits, masks = ops.cast(level["classes"], "float32"), ops.cast(semantic, "int32")
        counted = ops.cast(ops.not_equal(masks, IGNORE), "float32")
        classes = ops.where(ops.equal(masks, IGNORE), 0, masks)
        hot = one_hot(classes, self.num_classes)
        entropy = softmax_crossentropy(hot, logits) * counted
        found = {"pixel": ops.sum(entropy) / ops.maximum(ops.sum(counted), 1.0)}
        if self.dice_gain:
            batch = ops.shape(logits)[0]
            flat = (batch, image_size[0] * image_size[1], self.num_classes)
            apart = dice(
                ops.reshape(hot, flat),
                ops.reshape(ops.softmax(logits, axis=-1), flat),
                ops.reshape(counted, flat[:2]),
            )
            found["dice"] = self.dice_gain * apart
        return found
