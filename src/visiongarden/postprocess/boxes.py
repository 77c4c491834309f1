"""Decodings of raw predictions to boxes and class scores."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from keras import ops

from visiongarden.ops import (
    AnchorGrid,
    cells_of,
    deltas_to_boxes,
    distances_to_boxes,
    flat,
    offsets_to_boxes,
    points_to_boxes,
)
from visiongarden.postprocess.decoding import Decoding
from visiongarden.registry import register
from visiongarden.types import HeadContext, RawPredictions, Tensor


@register
class AnchorFreeDecoding(Decoding):
    """Decoding of anchor-free heads: distance distributions to boxes, logits to scores.

    Each side of a box is the expected value of a distribution over distances from the center of the
    cell (Generalized Focal Loss, Li et al. 2020, equation 3).

    Attributes:
        needs_nms: whether boxes of one object overlap; False for heads that are trained with
            one-to-one assignment.

    Example:
        >>> vg.heads.AnchorFree(num_classes=3).decoding
        AnchorFreeDecoding()
    """

    outputs: ClassVar[tuple[str, ...]] = ("boxes", "scores")
    head_fields: ClassVar[tuple[str, ...]] = ("bins",)

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return "boxes" and "scores"; `raw` are the raw predictions of an anchor-free head."""
        cells, head = cells_of(raw, context.image_size), cast(Any, context.head)
        sides = flat(raw, "boxes")
        sides = ops.reshape(sides, (ops.shape(sides)[0], len(cells.strides), 4, head.bins))
        boxes = distances_to_boxes(sides, cells.centers, cells.strides)
        return {"boxes": boxes, "scores": ops.sigmoid(flat(raw, "classes"))}


@register
class AnchorBasedDecoding(Decoding):
    """Decoding of anchor-based heads: offsets to boxes, objectness × class to scores.

    Anchors, `scale_xy` and `size_encoding` are those of the head.

    Example:
        >>> vg.heads.AnchorBased(num_classes=3).decoding.head_fields
        ('anchors', 'scale_xy', 'size_encoding')
    """

    outputs: ClassVar[tuple[str, ...]] = ("boxes", "scores")
    head_fields: ClassVar[tuple[str, ...]] = ("anchors", "scale_xy", "size_encoding")

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return "boxes" and "scores"; `raw` are the raw predictions of an anchor-based head."""
        head = cast(Any, context.head)
        grid = AnchorGrid(head.anchors, context.image_size, head.scale_xy)
        boxes = offsets_to_boxes(
            flat(raw, "boxes"),
            grid.cells,
            grid.strides,
            grid.anchors,
            grid.scales,
            head.size_encoding,
        )
        objectness = ops.sigmoid(flat(raw, "objectness", 0))
        scores = ops.expand_dims(objectness, -1) * ops.sigmoid(flat(raw, "classes"))
        return {"boxes": boxes, "scores": scores}


@register
class PointDecoding(Decoding):
    """Decoding of YOLOX heads: offsets from each cell to boxes, objectness × class to scores.

    Boxes are decoded as in Ge et al. 2021 (YOLOX), section 2.3.

    Example:
        >>> vg.heads.Decoupled(num_classes=3).decoding
        PointDecoding()
    """

    outputs: ClassVar[tuple[str, ...]] = ("boxes", "scores")

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return "boxes" and "scores"; `raw` are the raw predictions of the head."""
        cells = cells_of(raw, context.image_size)
        boxes = points_to_boxes(flat(raw, "boxes"), cells.centers, cells.strides)
        scores = ops.sigmoid(flat(raw, "objectness")) * ops.sigmoid(flat(raw, "classes"))
        return {"boxes": boxes, "scores": scores}


@register
class AnchorDeltaDecoding(Decoding):
    """Decoding of `RetinaNetHead`: deltas to boxes, logits to scores.

    Anchors, their offset and the weights of the deltas are those of the head.

    Example:
        >>> vg.heads.RetinaNetHead(num_classes=3).decoding
        AnchorDeltaDecoding()
    """

    outputs: ClassVar[tuple[str, ...]] = ("boxes", "scores")
    head_fields: ClassVar[tuple[str, ...]] = (
        *("anchor_size", "anchor_scales", "anchor_ratios", "anchor_offset", "anchor_rounding"),
        "delta_weights",
    )

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return "boxes" and "scores"; `raw` are the raw predictions of the head."""
        head = cast(Any, context.head)
        grid = head.grid(raw, context.image_size)
        placed = head.anchor_centers(grid), grid.anchors, head.delta_weights
        boxes = deltas_to_boxes(flat(raw, "boxes"), *placed)
        return {"boxes": boxes, "scores": ops.sigmoid(flat(raw, "classes"))}
