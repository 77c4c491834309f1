"""Decoding of raw predictions into scores, boxes, rankings and masks."""

from visiongarden.postprocess.decode import AnchorBasedDecode, AnchorFreeDecode, PointDecode
from visiongarden.postprocess.nms import Nms, to_original
from visiongarden.postprocess.scores import Rank, SoftmaxDecode, best_of_each
from visiongarden.postprocess.top_k import TopK, suppression

__all__ = [
    "AnchorBasedDecode",
    "AnchorFreeDecode",
    "Nms",
    "PointDecode",
    "Rank",
    "SoftmaxDecode",
    "TopK",
    "best_of_each",
    "suppression",
    "to_original",
]
