"""Backbones: image -> feature maps, one architecture per file."""

from visiongarden.backbones.csp_darknet import CSPDarknet
from visiongarden.backbones.csp_darknet53 import CSPDarknet53
from visiongarden.backbones.darknet53 import Darknet53
from visiongarden.backbones.darknet_tiny import CSPDarknetTiny, DarknetTiny
from visiongarden.backbones.efficientnet_lite import EfficientNetLite0
from visiongarden.backbones.elan_net import ELANNet, ELANNetTiny
from visiongarden.backbones.gelan import GELAN, CompositeGELAN
from visiongarden.backbones.keras_application import KerasApplication
from visiongarden.backbones.keras_hub_backbone import KerasHubBackbone
from visiongarden.backbones.keras_model import KerasModel
from visiongarden.backbones.mobilenet_v2 import MobileNetV2
from visiongarden.backbones.resnet import ResNet
from visiongarden.backbones.yolo11_backbone import YOLO11Backbone
from visiongarden.backbones.yolov5_backbone import YOLOv5Backbone
from visiongarden.backbones.yolov10_backbone import YOLOv10Backbone
from visiongarden.backbones.yolox_darknet import YOLOXDarknet

__all__ = [
    "GELAN",
    "CSPDarknet",
    "CSPDarknet53",
    "CSPDarknetTiny",
    "CompositeGELAN",
    "Darknet53",
    "DarknetTiny",
    "ELANNet",
    "ELANNetTiny",
    "EfficientNetLite0",
    "KerasApplication",
    "KerasHubBackbone",
    "KerasModel",
    "MobileNetV2",
    "ResNet",
    "YOLO11Backbone",
    "YOLOXDarknet",
    "YOLOv5Backbone",
    "YOLOv10Backbone",
]
