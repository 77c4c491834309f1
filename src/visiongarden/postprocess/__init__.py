"""Postprocess: raw predictions -> boxes and scores -> detections."""

from visiongarden.postprocess.decode import AnchorBasedDecode, AnchorFreeDecode
from visiongarden.postprocess.nms import Nms, to_original

__all__ = ["AnchorBasedDecode", "AnchorFreeDecode", "Nms", "to_original"]
