"""Backbones: image -> feature maps. One architecture a file."""

from visiongarden.backbones.csp_darknet import CSPDarknet
from visiongarden.backbones.csp_darknet53 import CSPDarknet53
from visiongarden.backbones.darknet53 import Darknet53
from visiongarden.backbones.darknet_tiny import CSPDarknetTiny, DarknetTiny
from visiongarden.backbones.resnet import ResNet

__all__ = [
    "CSPDarknet",
    "CSPDarknet53",
    "CSPDarknetTiny",
    "Darknet53",
    "DarknetTiny",
    "ResNet",
]
