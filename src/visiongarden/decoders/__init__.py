"""Decoders: feature maps -> feature maps of the same levels. One a file."""

from visiongarden.decoders.csp_pan import CSPPathAggregation
from visiongarden.decoders.elan_pan import ELANPathAggregation
from visiongarden.decoders.fpn import FPN
from visiongarden.decoders.gelan_pan import GELANPathAggregation
from visiongarden.decoders.path_aggregation import PathAggregation
from visiongarden.decoders.yolo11_decoder import YOLO11Decoder
from visiongarden.decoders.yolov3_decoder import TinyDecoder, YOLOv3Decoder
from visiongarden.decoders.yolov4_decoder import YOLOv4CSPDecoder, YOLOv4Decoder
from visiongarden.decoders.yolov10_decoder import YOLOv10Decoder

__all__ = [
    "FPN",
    "CSPPathAggregation",
    "ELANPathAggregation",
    "GELANPathAggregation",
    "PathAggregation",
    "TinyDecoder",
    "YOLO11Decoder",
    "YOLOv3Decoder",
    "YOLOv4CSPDecoder",
    "YOLOv4Decoder",
    "YOLOv10Decoder",
]
