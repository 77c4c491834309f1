"""Decoders: feature maps -> feature maps. One a file."""

from visiongarden.decoders.deeplab import DeepLabV3Plus
from visiongarden.decoders.fpn import FPN
from visiongarden.decoders.pass_on import PassOn
from visiongarden.decoders.path_aggregation import PathAggregation
from visiongarden.decoders.semantic_fpn import SemanticFPN
from visiongarden.decoders.unet import UNet
from visiongarden.decoders.yolov3_decoder import YOLOv3Decoder

__all__ = [
    "FPN",
    "DeepLabV3Plus",
    "PassOn",
    "PathAggregation",
    "SemanticFPN",
    "UNet",
    "YOLOv3Decoder",
]
