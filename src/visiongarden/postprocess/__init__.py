"""Postprocess: raw predictions -> boxes and scores -> detections."""

from visiongarden.postprocess.decode import AnchorBasedDecode, AnchorFreeDecode, PointDecode
from visiongarden.postprocess.nms import Nms, to_original
from visiongarden.postprocess.top_k import TopK, thinning

__all__ = [
    "AnchorBasedDecode",
    "AnchorFreeDecode",
    "Nms",
    "PointDecode",
    "TopK",
    "thinning",
    "to_original",
]
