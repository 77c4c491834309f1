"""Decoders: feature maps -> feature maps of the same levels. One a file."""

from visiongarden.decoders.fpn import FPN
from visiongarden.decoders.path_aggregation import PathAggregation
from visiongarden.decoders.yolov3_decoder import TinyDecoder, YOLOv3Decoder
from visiongarden.decoders.yolov4_decoder import YOLOv4Decoder

__all__ = ["FPN", "PathAggregation", "TinyDecoder", "YOLOv3Decoder", "YOLOv4Decoder"]
