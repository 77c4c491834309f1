"""Stateless math on `keras.ops`: boxes, overlaps, cell centers, decoding of predictions.

The functions run in the graph of training steps and exported models, on every backend.
"""

from visiongarden.ops.anchors import Cells, cells_of, shape_overlaps
from visiongarden.ops.boxes import area, clip, cxcywh_to_xyxy, xyxy_to_cxcywh
from visiongarden.ops.decode import (
    AnchorGrid,
    Anchors,
    ScaleXY,
    SizeEncoding,
    distances_to_boxes,
    flat,
    offsets_to_boxes,
    points_to_boxes,
    single,
)
from visiongarden.ops.deltas import boxes_to_deltas, deltas_to_boxes
from visiongarden.ops.encoding import one_hot
from visiongarden.ops.overlap import ciou, diou, giou, iou, pairwise_iou, siou
from visiongarden.ops.powers import power
from visiongarden.ops.region_features import crop_masks, roi_align, roi_levels
from visiongarden.ops.regions import (
    MatchedRegions,
    RegionNames,
    centers_of,
    match_regions,
    refine_regions,
    region_names,
)
from visiongarden.ops.rows import kth_largest, rows_of, spread_top_k, top_k
from visiongarden.ops.wide_dtype import wide

__all__ = [
    "AnchorGrid",
    "Anchors",
    "Cells",
    "MatchedRegions",
    "RegionNames",
    "ScaleXY",
    "SizeEncoding",
    "area",
    "boxes_to_deltas",
    "cells_of",
    "centers_of",
    "ciou",
    "clip",
    "crop_masks",
    "cxcywh_to_xyxy",
    "deltas_to_boxes",
    "diou",
    "distances_to_boxes",
    "flat",
    "giou",
    "iou",
    "kth_largest",
    "match_regions",
    "offsets_to_boxes",
    "one_hot",
    "pairwise_iou",
    "points_to_boxes",
    "power",
    "refine_regions",
    "region_names",
    "roi_align",
    "roi_levels",
    "rows_of",
    "shape_overlaps",
    "single",
    "siou",
    "spread_top_k",
    "top_k",
    "wide",
    "xyxy_to_cxcywh",
]
