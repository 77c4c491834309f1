"""Decoders: feature maps -> feature maps, one architecture per file."""

from visiongarden.decoders.csp_pan import CSPPathAggregation
from visiongarden.decoders.deeplab import DeepLabV3Plus
from visiongarden.decoders.elan_pan import ELANPathAggregation
from visiongarden.decoders.fpn import FPN
from visiongarden.decoders.gelan_pan import GELANPathAggregation
from visiongarden.decoders.pass_on import PassOn
from visiongarden.decoders.path_aggregation import PathAggregation
from visiongarden.decoders.semantic_fpn import SemanticFPN
from visiongarden.decoders.unet import UNet
from visiongarden.decoders.yolo11_decoder import YOLO11Decoder
from visiongarden.decoders.yolov3_decoder import TinyDecoder, YOLOv3Decoder
from visiongarden.decoders.yolov4_decoder import YOLOv4CSPDecoder, YOLOv4Decoder
from visiongarden.decoders.yolov10_decoder import YOLOv10Decoder

__all__ = [
    "FPN",
    "CSPPathAggregation",
    "DeepLabV3Plus",
    "ELANPathAggregation",
    "GELANPathAggregation",
    "PassOn",
    "PathAggregation",
    "SemanticFPN",
    "TinyDecoder",
    "UNet",
    "YOLO11Decoder",
    "YOLOv3Decoder",
    "YOLOv4CSPDecoder",
    "YOLOv4Decoder",
    "YOLOv10Decoder",
]
