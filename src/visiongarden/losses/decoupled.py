"""Loss of YOLOX's decoupled head: Ge et al. 2021 (arXiv 2107.08430), section 2.1."""

from __future__ import annotations

from typing import ClassVar

from keras import ops
from pydantic import NonNegativeFloat, PositiveInt

from visiongarden.assigners import SimOTA
from visiongarden.config import Value
from visiongarden.losses.bce import binary_crossentropy
from visiongarden.ops import cells_of, flat, iou, one_hot, points_to_boxes
from visiongarden.types import ImageSize, RawPredictions, Tensor


class DecoupledLoss(Value):
    """IoU and class loss on the positives, objectness loss on all cells.

    The box term is 1 - IoU**2; the target of a class is the IoU of the prediction. Each term is a
    sum over the batch, divided by the number of positives.

    Attributes:
        num_classes: number of classes.
        box_gain: weight of the IoU loss.
        objectness_gain: weight of the cross-entropy of the objectness.
        class_gain: weight of the cross-entropy of the classes.
        assigner: assigns boxes to cells.
    """

    terms: ClassVar[tuple[str, ...]] = ("box", "objectness", "class")
    num_classes: PositiveInt
    box_gain: NonNegativeFloat = 5.0
    objectness_gain: NonNegativeFloat = 1.0
    class_gain: NonNegativeFloat = 1.0
    assigner: SimOTA = SimOTA()

    def __call__(
        self, raw: RawPredictions, boxes: Tensor, classes: Tensor, image_size: ImageSize
    ) -> dict[str, Tensor]:
        """Return the weighted terms, whose sum is the loss.

        Args:
            raw: level -> {"boxes": (batch, h, w, 4), "objectness": (batch, h, w, 1), "classes":
                (batch, h, w, classes)}.
            boxes: (batch, m, 4), xyxy, pixels of the network's input.
            classes: (batch, m) int32; -1 pads.
            image_size: (height, width) of the network's input.

        Returns:
            term -> scalar.
        """
        cells = cells_of(raw, image_size)
        boxes, classes = ops.cast(boxes, "float32"), ops.cast(classes, "int32")
        objectness, logits = flat(raw, "objectness"), flat(raw, "classes")
        predicted = points_to_boxes(flat(raw, "boxes"), cells.centers, cells.strides)
        found = self.assigner(logits, objectness, predicted, cells, boxes, classes)
        total = ops.maximum(ops.sum(found.taken), 1.0)
        overlap = iou(predicted, found.boxes)
        hot = one_hot(found.classes, self.num_classes)
        wanted = hot * ops.expand_dims(found.overlap, -1)
        entropy = ops.sum(binary_crossentropy(wanted, logits), axis=-1)
        presence = binary_crossentropy(found.taken, objectness[..., 0])
        return {
            "box": self.box_gain * ops.sum((1 - ops.square(overlap)) * found.taken) / total,
            "objectness": self.objectness_gain * ops.sum(presence) / total,
            "class": self.class_gain * ops.sum(entropy * found.taken) / total,
        }
