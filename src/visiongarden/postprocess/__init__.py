"""Postprocess: raw predictions -> boxes and scores -> detections."""

from visiongarden.postprocess.decode import AnchorBasedDecode, AnchorFreeDecode, PointDecode
from visiongarden.postprocess.nms import Nms, to_original

__all__ = ["AnchorBasedDecode", "AnchorFreeDecode", "Nms", "PointDecode", "to_original"]
