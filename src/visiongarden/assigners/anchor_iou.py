"""Assignment by anchor shape, as in YOLOv3 and its successors."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from keras import ops
from pydantic import Field

from visiongarden.config import Value
from visiongarden.ops import AnchorGrid, Anchors, one_hot
from visiongarden.types import Tensor, stride_of


class Positives(NamedTuple):
    """Predictions that are trained on a box: p candidates per box, many of them unused.

    The number of candidates is static, as compiled steps require; `taken` selects the positives.

    Attributes:
        index: (batch, m, p) int32, rows of the flat predictions.
        taken: (batch, m, p) float32, 1 for a positive, else 0.
    """

    index: Tensor  # type: ignore[assignment]  # shadows tuple.index, which is not used here
    taken: Tensor


class AnchorIoU(Value):
    """Assign a box to the cell of its center, at every anchor of similar shape.

    The anchor with the highest IoU, with both boxes centered on the same point, is always assigned
    (Redmon & Farhadi 2018, YOLOv3, section 2.1), and all anchors whose IoU is at least `threshold`,
    as in YOLOv4 (Bochkovskiy et al. 2020, section 3.4: multiple anchors for a single ground truth).

    Attributes:
        threshold: minimum IoU of the shapes; with 1, only the best anchor is assigned.
        neighbors: whether to assign the nearest cells left or right of the center, and above or
            below it, as well; they can predict the center only with a `scale_xy` of 2 or more.
    """

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.3
    neighbors: bool = True

    def __call__(
        self,
        grid: AnchorGrid,
        anchors: Anchors,
        boxes: Tensor,
        classes: Tensor,
    ) -> Positives:
        """Assign by geometry alone.

        Args:
            grid: layout of the predictions.
            anchors: level -> (width, height) of each anchor in pixels.
            boxes: (batch, m, 4), xyxy pixels.
            classes: (batch, m) int32; -1 pads.
        """
        boxes = ops.convert_to_tensor(boxes)
        levels = sorted(anchors, key=stride_of)
        sizes = np.concatenate([np.asarray(anchors[level], np.float32) for level in levels])
        suits = self._suits(boxes, sizes)
        real = ops.cast(ops.convert_to_tensor(classes) >= 0, "float32")
        index, taken, first = [], [], 0
        for level in levels:
            rows, columns, count, start = grid.levels[level]
            own = suits[..., first : first + count]
            first += count
            for column, row, within in self._cells(boxes, stride_of(level), rows, columns):
                place = (row * columns + column) * count + start
                index.append(ops.expand_dims(place, -1) + ops.arange(count, dtype="int32"))
                taken.append(own * ops.expand_dims(within * real, -1))
        return Positives(ops.concatenate(index, axis=-1), ops.concatenate(taken, axis=-1))

    def _suits(self, boxes: Tensor, sizes: np.ndarray) -> Tensor:
        """Return 1 for each anchor that a box is assigned to, (batch, m, anchors of all levels)."""
        side = ops.expand_dims(boxes[..., 2:] - boxes[..., :2], -2)
        known = ops.convert_to_tensor(sizes)
        inter = ops.prod(ops.minimum(side, known), axis=-1)
        union = ops.prod(side, axis=-1) + ops.prod(known, axis=-1) - inter
        overlap = inter / ops.maximum(union, 1e-7)
        best = one_hot(ops.argmax(overlap, axis=-1), len(sizes))
        return ops.maximum(best, ops.cast(overlap >= self.threshold, "float32"))

    def _cells(
        self, boxes: Tensor, stride: int, rows: int, columns: int
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return (column, row, 1 if inside the map), each (batch, m), of a center's cells."""
        last = ops.array([columns - 1, rows - 1], "int32")
        place = (boxes[..., :2] + boxes[..., 2:]) / 2 / stride
        own = ops.clip(ops.cast(ops.floor(place), "int32"), 0, last)
        steps = [[0, 0], [1, 0], [0, 1]] if self.neighbors else [[0, 0]]
        found = []
        # The nearer neighbor in each direction: on the side of the half that holds the center.
        side = ops.where(place - ops.cast(own, "float32") < 0.5, -1, 1)
        for step in steps:
            cell = own + ops.cast(side, "int32") * ops.array(step, "int32")
            inside = ops.all((cell >= 0) & (cell <= last), axis=-1)
            cell = ops.clip(cell, 0, last)
            found.append((cell[..., 0], cell[..., 1], ops.cast(inside, "float32")))
        return found
