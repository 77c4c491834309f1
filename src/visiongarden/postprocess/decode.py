"""Raw predictions -> boxes in pixels and a score for each class; part of an exported graph."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops
from pydantic import PositiveFloat, PositiveInt

from visiongarden.config import Value
from visiongarden.ops import (
    AnchorGrid,
    Sizes,
    cells_of,
    distances_to_boxes,
    flat,
    offsets_to_boxes,
    points_to_boxes,
)
from visiongarden.types import ImageSize, RawPredictions


class AnchorFreeDecode(Value):
    """Expected distances -> boxes, logits -> scores.

    Attributes:
        bins: values of each distance's distribution.
        needs_nms: whether overlapping boxes are left; not where the head learned one a target.
    """

    bins: PositiveInt = 16
    needs_nms: bool = True

    def __call__(self, raw: RawPredictions, image_size: ImageSize) -> tuple[Any, Any]:
        """Boxes (batch, n, 4), xyxy pixels of the network's input, and scores (batch, n, classes).

        Args:
            raw: as the anchor-free head returns it.
            image_size: (height, width) of the network's input.
        """
        cells = cells_of(sorted(raw), image_size)
        sides = flat(raw, "boxes")
        sides = ops.reshape(sides, (ops.shape(sides)[0], len(cells.strides), 4, self.bins))
        boxes = distances_to_boxes(sides, cells.centres, cells.strides)
        return boxes, ops.sigmoid(flat(raw, "classes"))


class AnchorBasedDecode(Value):
    """Offsets -> boxes, objectness × class -> scores.

    Attributes:
        anchors: level -> (width, height) of each anchor, pixels of the network's input.
        scale_xy: reach of a cell's centre prediction, for all levels or each; 1 is YOLOv3.
        sizes: how an offset scales its anchor.
    """

    needs_nms: ClassVar[bool] = True
    anchors: dict[str, tuple[tuple[PositiveFloat, PositiveFloat], ...]]
    scale_xy: PositiveFloat | dict[str, PositiveFloat] = 1.0
    sizes: Sizes = "exponential"

    def __call__(self, raw: RawPredictions, image_size: ImageSize) -> tuple[Any, Any]:
        """Boxes (batch, n, 4), xyxy pixels of the network's input, and scores (batch, n, classes).

        Args:
            raw: as the anchor-based head returns it.
            image_size: (height, width) of the network's input.
        """
        grid = AnchorGrid(self.anchors, image_size, self.scale_xy)
        boxes = offsets_to_boxes(
            flat(raw, "boxes"), grid.cells, grid.strides, grid.anchors, grid.scales, self.sizes
        )
        objectness = ops.sigmoid(flat(raw, "objectness", 0))
        return boxes, ops.expand_dims(objectness, -1) * ops.sigmoid(flat(raw, "classes"))


class PointDecode(Value):
    """Offsets from each cell -> boxes, objectness × class -> scores (YOLOX)."""

    needs_nms: ClassVar[bool] = True

    def __call__(self, raw: RawPredictions, image_size: ImageSize) -> tuple[Any, Any]:
        """Boxes (batch, n, 4), xyxy pixels of the network's input, and scores (batch, n, classes).

        Args:
            raw: as the head returns it.
            image_size: (height, width) of the network's input.
        """
        cells = cells_of(sorted(raw), image_size)
        boxes = points_to_boxes(flat(raw, "boxes"), cells.centres, cells.strides)
        return boxes, ops.sigmoid(flat(raw, "objectness")) * ops.sigmoid(flat(raw, "classes"))
