"""Decoding of raw predictions into boxes and class scores.

The decodings run inside the graph, so an exported file contains them.
"""

from __future__ import annotations

from typing import ClassVar

from keras import ops
from pydantic import PositiveFloat, PositiveInt

from visiongarden.config import Value
from visiongarden.ops import (
    AnchorGrid,
    SizeEncoding,
    cells_of,
    distances_to_boxes,
    flat,
    offsets_to_boxes,
    points_to_boxes,
)
from visiongarden.types import ImageSize, RawPredictions, Tensor


class AnchorFreeDecode(Value):
    """Decoding of anchor-free heads: distance distributions to boxes, logits to scores.

    Each side of a box is the expected value of a distribution over distances from the center of the
    cell (Generalized Focal Loss, Li et al. 2020, equation 3).

    Attributes:
        bins: Number of bins of each distance's distribution.
        needs_nms: Whether overlapping boxes remain; False for heads trained with one-to-one
            assignment.
    """

    bins: PositiveInt = 16
    needs_nms: bool = True

    def __call__(self, raw: RawPredictions, image_size: ImageSize) -> tuple[Tensor, Tensor]:
        """Decode boxes and scores.

        Args:
            raw: Raw predictions of an anchor-free head.
            image_size: (height, width) of the network's input.

        Returns:
            Boxes (batch, n, 4), xyxy in pixels of the network's input, and scores (batch, n,
            classes), 0 to 1.
        """
        cells = cells_of(raw, image_size)
        sides = flat(raw, "boxes")
        sides = ops.reshape(sides, (ops.shape(sides)[0], len(cells.strides), 4, self.bins))
        boxes = distances_to_boxes(sides, cells.centers, cells.strides)
        return boxes, ops.sigmoid(flat(raw, "classes"))


class AnchorBasedDecode(Value):
    """Decoding of anchor-based heads: offsets to boxes, objectness × class to scores.

    Attributes:
        anchors: (width, height) of each anchor by level, in pixels of the network's input.
        scale_xy: Factor on the predicted offset of the center, for all levels or by level; above 1
            the center can reach beyond its cell (Bochkovskiy et al. 2020, YOLOv4, section 3.4). 1
            is YOLOv3.
        size_encoding: How an offset scales the size of its anchor.
    """

    needs_nms: ClassVar[bool] = True
    anchors: dict[str, tuple[tuple[PositiveFloat, PositiveFloat], ...]]
    scale_xy: PositiveFloat | dict[str, PositiveFloat] = 1.0
    size_encoding: SizeEncoding = "exponential"

    def __call__(self, raw: RawPredictions, image_size: ImageSize) -> tuple[Tensor, Tensor]:
        """Decode boxes and scores.

        Args:
            raw: Raw predictions of an anchor-based head.
            image_size: (height, width) of the network's input.

        Returns:
            Boxes (batch, n, 4), xyxy in pixels of the network's input, and scores (batch, n,
            classes), 0 to 1.
        """
        grid = AnchorGrid(self.anchors, image_size, self.scale_xy)
        boxes = offsets_to_boxes(
            flat(raw, "boxes"),
            grid.cells,
            grid.strides,
            grid.anchors,
            grid.scales,
            self.size_encoding,
        )
        objectness = ops.sigmoid(flat(raw, "objectness", 0))
        return boxes, ops.expand_dims(objectness, -1) * ops.sigmoid(flat(raw, "classes"))


class PointDecode(Value):
    """Decoding of YOLOX heads: offsets from each cell to boxes, objectness × class to scores.

    Boxes are decoded as in Ge et al. 2021 (YOLOX), section 2.3.
    """

    needs_nms: ClassVar[bool] = True

    def __call__(self, raw: RawPredictions, image_size: ImageSize) -> tuple[Tensor, Tensor]:
        """Decode boxes and scores.

        Args:
            raw: Raw predictions of the head.
            image_size: (height, width) of the network's input.

        Returns:
            Boxes (batch, n, 4), xyxy in pixels of the network's input, and scores (batch, n,
            classes), 0 to 1.
        """
        cells = cells_of(raw, image_size)
        boxes = points_to_boxes(flat(raw, "boxes"), cells.centers, cells.strides)
        return boxes, ops.sigmoid(flat(raw, "objectness")) * ops.sigmoid(flat(raw, "classes"))
