"""Decoding of raw predictions into scores, boxes, rankings and masks."""

from visiongarden.postprocess.boxes import (
    AnchorBasedDecoding,
    AnchorDeltaDecoding,
    AnchorFreeDecoding,
    PointDecoding,
)
from visiongarden.postprocess.combined import CombinedDecoding
from visiongarden.postprocess.decoding import Decoding
from visiongarden.postprocess.mask_formats import (
    MaskFormat,
    PrototypeMaskFormat,
    RegionMaskFormat,
    mask_format,
)
from visiongarden.postprocess.nms import Nms, Suppression, to_original
from visiongarden.postprocess.nms_in_graph import nms_keeps
from visiongarden.postprocess.prototype_masks import PrototypeMaskDecoding, masks_of
from visiongarden.postprocess.region_masks import RegionMaskDecoding, pasted_masks
from visiongarden.postprocess.scores import (
    Rank,
    SigmoidDecoding,
    SoftmaxDecoding,
    best_of_each,
)
from visiongarden.postprocess.top_k import TopK, suppression
from visiongarden.postprocess.values import ValueDecoding

__all__ = [
    "AnchorBasedDecoding",
    "AnchorDeltaDecoding",
    "AnchorFreeDecoding",
    "CombinedDecoding",
    "Decoding",
    "MaskFormat",
    "Nms",
    "PointDecoding",
    "PrototypeMaskDecoding",
    "PrototypeMaskFormat",
    "Rank",
    "RegionMaskDecoding",
    "RegionMaskFormat",
    "SigmoidDecoding",
    "SoftmaxDecoding",
    "Suppression",
    "TopK",
    "ValueDecoding",
    "best_of_each",
    "mask_format",
    "masks_of",
    "nms_keeps",
    "pasted_masks",
    "suppression",
    "to_original",
]
