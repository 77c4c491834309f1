"""Loss of an anchor-based head with objectness."""

from __future__ import annotations

from typing import ClassVar

from keras import ops
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from visiongarden.assigners import AnchorIoU
from visiongarden.config import Value
from visiongarden.losses.bce import binary_crossentropy
from visiongarden.ops import (
    AnchorGrid,
    SizeEncoding,
    ciou,
    flat,
    offsets_to_boxes,
    one_hot,
    rows_of,
)
from visiongarden.types import ImageSize, RawPredictions, Tensor


class AnchorBasedLoss(Value):
    """CIoU and class loss on the positives, objectness loss on every anchor of every cell.

    The target of the objectness is the IoU of the prediction (Redmon et al. 2016, YOLO, section 2:
    confidence is Pr(object) * IoU). Each term is a sum over the batch, divided by the number of
    positives; the gains 5, 1, 1 are those of YOLOX (Ge et al. 2021).

    Attributes:
        num_classes: number of classes.
        anchors: level -> (width, height) of each anchor, in pixels of the network's input.
        scale_xy: scale of the center offsets, for all levels or level -> scale; 1 is YOLOv3.
        size_encoding: how an offset scales its anchor.
        box_gain: weight of 1 - CIoU.
        objectness_gain: weight of the cross-entropy of the objectness.
        class_gain: weight of the cross-entropy of the classes.
        assigner: assigns boxes to anchors and cells.
    """

    terms: ClassVar[tuple[str, ...]] = ("box", "objectness", "class")
    num_classes: PositiveInt
    anchors: dict[str, tuple[tuple[PositiveFloat, PositiveFloat], ...]]
    scale_xy: PositiveFloat | dict[str, PositiveFloat] = 1.0
    size_encoding: SizeEncoding = "exponential"
    box_gain: NonNegativeFloat = 5.0
    objectness_gain: NonNegativeFloat = 1.0
    class_gain: NonNegativeFloat = 1.0
    assigner: AnchorIoU = AnchorIoU()

    def __call__(
        self, raw: RawPredictions, boxes: Tensor, classes: Tensor, image_size: ImageSize
    ) -> dict[str, Tensor]:
        """Return the weighted terms, whose sum is the loss.

        Args:
            raw: level -> {"boxes": (batch, h, w, a, 4), "objectness": (batch, h, w, a), "classes":
                (batch, h, w, a, classes)}.
            boxes: (batch, m, 4), xyxy, pixels of the network's input.
            classes: (batch, m) int32; -1 pads.
            image_size: (height, width) of the network's input.

        Returns:
            term -> scalar.
        """
        grid = AnchorGrid(self.anchors, image_size, self.scale_xy)
        boxes, classes = ops.cast(boxes, "float32"), ops.cast(classes, "int32")
        objectness, logits = flat(raw, "objectness", 0), flat(raw, "classes")
        positives = self.assigner(grid, self.anchors, boxes, classes)
        # Box and class terms are computed for the candidates alone, which are gathered: a few per
        # box instead of all anchors of all cells.
        batch, each = ops.shape(boxes)[0], positives.index.shape[-1]
        count = boxes.shape[1] * each
        index = ops.reshape(positives.index, (batch, count))
        taken = ops.reshape(positives.taken, (batch, count))
        total = ops.maximum(ops.sum(taken), 1.0)
        cells, strides, anchors, scales = (
            ops.take(ops.convert_to_tensor(known), index, axis=0)
            for known in (grid.cells, grid.strides, grid.anchors, grid.scales)
        )
        offsets = rows_of(flat(raw, "boxes"), index)
        predicted = offsets_to_boxes(offsets, cells, strides, anchors, scales, self.size_encoding)
        overlap = ciou(predicted, ops.repeat(boxes, each, axis=1))
        hot = one_hot(ops.repeat(classes, each, axis=1), self.num_classes)
        entropy = ops.sum(binary_crossentropy(hot, rows_of(logits, index)), axis=-1)
        wanted = self._objectness(overlap, taken, index, grid.count)
        return {
            "box": self.box_gain * ops.sum((1 - overlap) * taken) / total,
            "objectness": self.objectness_gain
            * ops.sum(binary_crossentropy(wanted, objectness))
            / total,
            "class": self.class_gain * ops.sum(entropy * taken) / total,
        }

    def _objectness(self, overlap: Tensor, taken: Tensor, index: Tensor, count: int) -> Tensor:
        """Return the objectness targets (batch, count): the best IoU among a prediction's boxes."""
        quality = ops.stop_gradient(ops.clip(overlap, 0, 1)) * taken
        batch = ops.shape(index)[0]
        rows = ops.expand_dims(ops.arange(batch, dtype="int32") * count, -1)
        best = ops.segment_max(
            ops.reshape(quality, (-1,)), ops.reshape(index + rows, (-1,)), batch * count
        )
        # Segments without candidates are the lowest float value, not 0.
        return ops.reshape(ops.maximum(best, 0.0), (batch, count))
