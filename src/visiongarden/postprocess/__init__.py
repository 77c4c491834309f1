"""Postprocess: raw predictions -> scores -> detections, rankings, segments."""

from visiongarden.postprocess.decode import AnchorBasedDecode, AnchorFreeDecode
from visiongarden.postprocess.nms import Nms, to_original
from visiongarden.postprocess.scores import Rank, SoftmaxDecode, best_of_each

__all__ = [
    "AnchorBasedDecode",
    "AnchorFreeDecode",
    "Nms",
    "Rank",
    "SoftmaxDecode",
    "best_of_each",
    "to_original",
]
