"""Assignment by anchor shape, as in YOLOv3 and its successors."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from keras import ops
from pydantic import Field

from visiongarden.assigners.assigner import FAR, Assigner
from visiongarden.errors import UserError
from visiongarden.ops import iou, one_hot, rows_of, wide
from visiongarden.registry import register
from visiongarden.types import BACKGROUND, Assignment, Candidates, Targets, Tensor


class _Level(NamedTuple):
    """Predictions of one level: `anchors` (count, 2) in each cell, from row `first` on."""

    stride: int
    rows: int
    columns: int
    anchors: np.ndarray
    first: int


@register
class AnchorIoU(Assigner):
    """Assign a box to the cell of its center, at every anchor of similar shape.

    The anchor with the highest IoU, with both boxes centered on the same point, is always assigned
    (Redmon & Farhadi 2018, YOLOv3, section 2.1), and all anchors whose IoU is at least `threshold`,
    as in YOLOv4 (Bochkovskiy et al. 2020, section 3.4: multiple anchors for a single ground truth).

    Attributes:
        threshold: minimum IoU of the shapes; with 1, only the best anchor is assigned.
        neighbors: whether to assign the nearest cells left or right of the center, and above or
            below it, as well; they can predict the center only with a `scale_xy` of 2 or more.

    Example:
        >>> vg.assigners.AnchorIoU(threshold=0.5).to_dict()
        {'type': 'AnchorIoU', 'threshold': 0.5, 'neighbors': True}
    """

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.3
    neighbors: bool = True

    def __call__(self, candidates: Candidates, targets: Targets) -> Assignment:
        """Assign the objects of a batch by the shapes of anchors and boxes.

        A prediction that suits several objects is assigned to the one that it overlaps most.

        Returns:
            The assignment; the weight of a positive is 1.

        Raises:
            UserError: the head has no anchors.
        """
        boxes = ops.convert_to_tensor(targets["boxes"], dtype=wide())
        levels = _levels(candidates)
        suits = self._suits(boxes, np.concatenate([level.anchors for level in levels]))
        real = ops.cast(ops.convert_to_tensor(targets["classes"]) >= 0, wide())
        index, taken, start = [], [], 0
        for level in levels:
            count = len(level.anchors)
            own = suits[..., start : start + count]
            start += count
            for column, row, within in self._cells(boxes, level):
                place = (row * level.columns + column) * count + level.first
                index.append(ops.expand_dims(place, -1) + ops.arange(count, dtype="int32"))
                taken.append(own * ops.expand_dims(within * real, -1))
        return _one_object_each(
            ops.stop_gradient(ops.convert_to_tensor(candidates.boxes)),
            boxes,
            ops.concatenate(index, axis=-1),
            ops.concatenate(taken, axis=-1),
        )

    def max_positives(self, objects: int, candidates: Candidates) -> int:
        """Return the number of cells of a box times that of all anchors, for each object."""
        anchors = sum(len(level.anchors) for level in _levels(candidates))
        most = objects * anchors * (3 if self.neighbors else 1)
        return min(most, super().max_positives(objects, candidates))

    @property
    def min_overlap(self) -> float:
        """`threshold`, but at most 0.1, since the best anchor is always assigned."""
        return min(FAR, self.threshold)

    def _suits(self, boxes: Tensor, sizes: np.ndarray) -> Tensor:
        """Return 1 for each anchor that a box is assigned to, (batch, m, anchors of all levels)."""
        side = ops.expand_dims(boxes[..., 2:] - boxes[..., :2], -2)
        known = ops.convert_to_tensor(sizes)
        inter = ops.prod(ops.minimum(side, known), axis=-1)
        union = ops.prod(side, axis=-1) + ops.prod(known, axis=-1) - inter
        overlap = inter / ops.maximum(union, 1e-7)
        best = one_hot(ops.argmax(overlap, axis=-1), len(sizes))
        return ops.maximum(best, ops.cast(overlap >= self.threshold, wide()))

    def _cells(self, boxes: Tensor, level: _Level) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return (column, row, 1 if inside the map), each (batch, m), of a center's cells."""
        last = ops.array([level.columns - 1, level.rows - 1], "int32")
        place = (boxes[..., :2] + boxes[..., 2:]) / 2 / level.stride
        own = ops.clip(ops.cast(ops.floor(place), "int32"), 0, last)
        steps = [[0, 0], [1, 0], [0, 1]] if self.neighbors else [[0, 0]]
        found = []
        # The nearer neighbor in each direction: on the side of the half that holds the center.
        side = ops.where(place - ops.cast(own, wide()) < 0.5, -1, 1)
        for step in steps:
            cell = own + ops.cast(side, "int32") * ops.array(step, "int32")
            inside = ops.all((cell >= 0) & (cell <= last), axis=-1)
            cell = ops.clip(cell, 0, last)
            found.append((cell[..., 0], cell[..., 1], ops.cast(inside, wide())))
        return found


def _levels(candidates: Candidates) -> list[_Level]:
    """Return the layout of the predictions, level by level and cell by cell."""
    if candidates.anchors is None:
        raise UserError(
            "the assigner AnchorIoU needs a head with anchors",
            rule="predictions with an anchor each, as those of AnchorBased",
            fix="assigner=TaskAligned()",
        )
    found = []
    for stride in np.unique(candidates.strides):
        rows = np.flatnonzero(candidates.strides == stride)
        xs, ys = (np.unique(candidates.points[rows, axis]) for axis in range(2))
        count = len(rows) // (len(xs) * len(ys))
        anchors = candidates.anchors[rows[:count]]
        found.append(_Level(int(stride), len(ys), len(xs), anchors, int(rows[0])))
    return found


def _one_object_each(predicted: Tensor, boxes: Tensor, index: Tensor, taken: Tensor) -> Assignment:
    """Assign each prediction to the object that it overlaps most, of those that take it.

    Args:
        predicted: (batch, n, 4), xyxy pixels.
        boxes: (batch, m, 4), xyxy pixels.
        index: (batch, m, p) int32, rows of the predictions.
        taken: (batch, m, p) float32, 1 where an object takes a prediction, else 0.
    """
    batch, count = ops.shape(boxes)[0], predicted.shape[1]
    objects, each = index.shape[1:]
    index = ops.reshape(index, (batch, objects * each))
    taken = ops.reshape(taken, (batch, objects * each))
    overlap = iou(rows_of(predicted, index), ops.repeat(boxes, each, axis=1))
    rank = (overlap + 1) * taken  # above 0 where an object takes the prediction
    place = index + ops.expand_dims(ops.arange(batch, dtype="int32") * count, -1)
    place = ops.reshape(place, (-1,))

    def highest(values: Tensor) -> Tensor:
        found = ops.segment_max(ops.reshape(values, (-1,)), place, batch * count)
        # A segment without candidates has the lowest float value, not 0.
        return ops.maximum(found, 0.0)

    best = ops.reshape(ops.take(highest(rank), place, axis=0), (batch, objects * each))
    wins = taken * ops.cast(rank >= best, wide())
    # Of equal overlaps, the first object.
    order = ops.repeat(ops.arange(objects, 0, -1, dtype=wide()), each)
    owner = ops.reshape(highest(wins * order), (batch, count))
    found = objects - ops.cast(owner, "int32")
    return Assignment(ops.where(owner > 0, found, BACKGROUND), ops.cast(owner > 0, wide()))
