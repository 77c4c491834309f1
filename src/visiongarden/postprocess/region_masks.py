"""Masks of regions: He et al. 2017 (Mask R-CNN), section 3, "Inference"."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np
from keras import ops

from visiongarden.ops import iou, one_hot, refine_regions, region_names, rows_of, single, top_k
from visiongarden.postprocess.decoding import Decoding
from visiongarden.registry import register
from visiongarden.samples import Masks
from visiongarden.samples.mask_shapes import NOTHING, PixelMask, Window
from visiongarden.types import HeadContext, ImageSize, RawPredictions, Tensor


@register
class RegionMaskDecoding(Decoding):
    """Decoding of `MaskRCNN`: a box, the score of its class and a mask for each detection.

    The rows of "boxes" (batch, n, 4), "scores" (batch, n, classes) and "masks" (batch, n, rows,
    columns), probabilities within the box, are the detections that the graph has selected; a row
    of "scores" is 0 for all other classes. Rows that pad have boxes without area and scores of 0.

    Example:
        >>> vg.heads.MaskRCNN(num_classes=3).decoding.outputs
        ('boxes', 'masks', 'scores')
    """

    outputs: ClassVar[tuple[str, ...]] = ("boxes", "masks", "scores")
    head_fields: ClassVar[tuple[str, ...]] = ("num_classes", "cascade", "region_weights")

    def __call__(self, raw: RawPredictions, context: HeadContext) -> dict[str, Tensor]:
        """Return "boxes", "masks" and "scores"; `raw` are the raw predictions of the head."""
        head = cast(Any, context.head)
        last = len(head.cascade) - 1
        names = [region_names(stage) for stage in range(last + 1)]
        rows = ops.cast(single(raw, "mask_rows"), "int32")
        scores: Any = sum(ops.softmax(single(raw, each.classes)) for each in names) / len(names)
        scores = rows_of(scores[..., 1:], rows)
        chosen = ops.cast(single(raw, "mask_classes"), "int32")
        # In training, a region has no class yet. `argmax` has no counterpart in exported files.
        best = top_k(scores, 1)[1][..., 0]
        hot = one_hot(ops.where(chosen < 0, best, chosen), head.num_classes)
        deltas = rows_of(single(raw, names[last].boxes), rows)
        if deltas.shape[2] > 1:
            deltas = deltas[:, :, -head.num_classes :] * ops.expand_dims(hot, -1)
        regions = rows_of(single(raw, names[last].regions), rows)
        weights = head.stage_weights(last)
        moved = ops.sum(deltas, axis=2)
        boxes = refine_regions(regions, moved, weights, context.image_size)
        real = ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1, keepdims=True)
        # In training, a mask is that of the region, and not of the refined box.
        same = ops.where(chosen < 0, iou(single(raw, "mask_regions"), boxes), 1.0)
        masks = single(raw, "masks")[..., -head.num_classes :]
        shown = ops.sum(masks * ops.expand_dims(ops.expand_dims(hot, 2), 2), axis=-1)
        return {
            "boxes": boxes,
            "masks": ops.sigmoid(shown),
            "scores": ops.where(real, scores * hot * ops.expand_dims(same, -1), 0.0),
        }


def pasted_masks(boxes: np.ndarray, masks: np.ndarray, size: ImageSize) -> Masks:
    """Return masks at the places of their boxes.

    A mask is enlarged bilinearly to the pixels of its box, outside which its probability is 0; a
    pixel belongs to an object if the probability is at least 0.5.

    Args:
        boxes: (k, 4), xyxy, pixels of the network's input.
        masks: (k, rows, columns), probabilities within the box.
        size: (height, width) of the canvas in pixels, which contains the boxes.

    Example:
        >>> boxes, masks = np.array([[2.0, 1, 6, 3]]), np.ones((1, 2, 2))
        >>> vg.postprocess.pasted_masks(boxes, masks, (5, 8)).boxes().tolist()
        [[2.0, 1.0, 6.0, 3.0]]
    """
    height, width = size
    limits = np.array([width, height, width, height])
    low = np.floor(np.clip(boxes, 0, limits)).astype(int)
    high = np.ceil(np.clip(boxes, 0, limits)).astype(int)
    parts = []
    for box, mask, (x1, y1), (x2, y2) in zip(
        boxes, masks, low[:, :2].tolist(), high[:, 2:].tolist(), strict=True
    ):
        window = NOTHING
        if x2 > x1 and y2 > y1:
            window = Window(y1, x1, _enlarged(mask, box, (x1, y1, x2, y2)) >= _HALF)
        parts.append(PixelMask(size, window=window))
    return Masks(parts, size)


_HALF = 0.5 - 1e-6
"""Probability of a pixel that belongs to an object, less the rounding of an edge's 0.5."""


def _enlarged(mask: np.ndarray, box: np.ndarray, pixels: tuple[int, int, int, int]) -> np.ndarray:
    """Return the probabilities of the pixels (x1, y1, x2, y2) around a box."""
    # Matrices of linear interpolation: OpenCV rounds coordinates to 1/32 of a cell.
    rows = _interpolation(box[1], box[3], pixels[1], pixels[3], mask.shape[0])
    columns = _interpolation(box[0], box[2], pixels[0], pixels[2], mask.shape[1])
    return np.asarray(rows @ mask.astype(np.float64) @ columns.T)


def _interpolation(low: float, high: float, first: int, last: int, cells: int) -> np.ndarray:
    """Return the weight of each cell between two edges in each pixel, (pixels, cells)."""
    # Pixel p has its center at p + 0.5, cell c at (c + 0.5) cells from the lower edge.
    places = (np.arange(first, last) + 0.5 - low) / (high - low) * cells - 0.5
    return np.maximum(1 - np.abs(places[:, None] - np.arange(cells)), 0)
