"""Regions, the boxes of a second stage: refinement by deltas, and matching with objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keras import ops

from visiongarden.ops.boxes import area, clip
from visiongarden.ops.deltas import deltas_to_boxes
from visiongarden.ops.overlap import pairwise_iou
from visiongarden.ops.wide_dtype import wide
from visiongarden.types import ImageSize, Tensor


class RegionNames(NamedTuple):
    """Names of the raw predictions of one stage of the box head.

    Attributes:
        regions: name of the regions.
        classes: name of the class logits.
        boxes: name of the deltas.

    Example:
        >>> vg.ops.region_names(0).boxes, vg.ops.region_names(1).boxes
        ('region_boxes', 'region_boxes_2')
    """

    regions: str
    classes: str
    boxes: str


def region_names(stage: int) -> RegionNames:
    """Return the names of the raw predictions of a stage, see `RegionNames`.

    Args:
        stage: number of the stage, from 0 on.

    Example:
        >>> vg.ops.region_names(0)
        RegionNames(regions='regions', classes='region_classes', boxes='region_boxes')
    """
    end = f"_{stage + 1}" if stage else ""
    return RegionNames(f"regions{end}", f"region_classes{end}", f"region_boxes{end}")


class MatchedRegions(NamedTuple):
    """Regions of a batch and the objects that they overlap most.

    Attributes:
        owner: (batch, k) int32, row of the object; 0 without objects.
        positive: (batch, k) float32, 1 if the IoU is high enough.
        valid: (batch, k) float32, 0 for rows without area, which pad.

    Example:
        >>> vg.ops.MatchedRegions._fields
        ('owner', 'positive', 'valid')
    """

    owner: Tensor
    positive: Tensor
    valid: Tensor


def match_regions(
    regions: Tensor, boxes: Tensor, classes: Tensor, min_iou: float
) -> MatchedRegions:
    """Match each region with the object that it overlaps most: Girshick 2015 (Fast R-CNN), 2.3.

    Args:
        regions: (batch, k, 4), xyxy; rows without area pad.
        boxes: (batch, m, 4), xyxy.
        classes: (batch, m) int32, -1 pads.
        min_iou: minimum IoU of a positive region.

    Example:
        >>> boxes = np.array([[[0, 0, 10, 10]]], "float32")
        >>> regions = np.array([[[0, 0, 10, 8], [5, 5, 15, 15], [0, 0, 0, 0]]], "float32")
        >>> found = vg.ops.match_regions(regions, boxes, np.array([[2]]), 0.5)
        >>> [keras.ops.convert_to_numpy(x).tolist() for x in (found.positive, found.valid)]
        [[[1.0, 0.0, 0.0]], [[1.0, 1.0, 0.0]]]
    """
    regions, boxes = ops.convert_to_tensor(regions), ops.cast(boxes, wide())
    real = ops.expand_dims(ops.convert_to_tensor(classes) >= 0, -1)
    overlap = ops.where(real, pairwise_iou(boxes, regions), 0.0)
    valid = ops.cast(area(regions) > 0, wide())
    hit = ops.cast(ops.max(overlap, axis=1) >= min_iou, wide())
    return MatchedRegions(ops.cast(ops.argmax(overlap, axis=1), "int32"), hit * valid, valid)


def refine_regions(
    regions: Tensor, deltas: Tensor, weights: Sequence[float], image_size: ImageSize
) -> Tensor:
    """Return regions moved by deltas, clipped to the image; rows without area stay as they are.

    Args:
        regions: (..., 4), xyxy, pixels.
        deltas: (..., 4), dx, dy, dw, dh, see `deltas_to_boxes`.
        weights: factors of the deltas.
        image_size: (height, width) in pixels.

    Example:
        >>> region, deltas = np.array([0.0, 0, 10, 10], "float32"), np.zeros(4, "float32")
        >>> found = vg.ops.refine_regions(region, deltas, (10, 10, 5, 5), (8, 20))
        >>> keras.ops.convert_to_numpy(found).tolist()
        [0.0, 0.0, 10.0, 8.0]
    """
    center, size = centers_of(regions)
    moved = deltas_to_boxes(ops.cast(deltas, wide()), center, size, weights)
    return clip(moved, image_size)


def centers_of(regions: Tensor) -> tuple[Tensor, Tensor]:
    """Return centers and sizes of xyxy boxes (..., 4), each (..., 2).

    Example:
        >>> center, size = vg.ops.centers_of(np.array([0.0, 0, 10, 20], "float32"))
        >>> center.tolist(), size.tolist()
        ([5.0, 10.0], [10.0, 20.0])
    """
    low, high = regions[..., :2], regions[..., 2:]
    return (low + high) / 2, high - low
