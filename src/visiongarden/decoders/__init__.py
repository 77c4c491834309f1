"""Decoders: feature maps -> feature maps of the same levels. One a file."""

from visiongarden.decoders.fpn import FPN
from visiongarden.decoders.path_aggregation import PathAggregation
from visiongarden.decoders.yolov3_decoder import YOLOv3Decoder

__all__ = ["FPN", "PathAggregation", "YOLOv3Decoder"]
