"""Backbones: image -> feature maps. One architecture a file."""

from visiongarden.backbones.csp_darknet import CSPDarknet
from visiongarden.backbones.darknet53 import Darknet53
from visiongarden.backbones.keras_application import KerasApplication
from visiongarden.backbones.resnet import ResNet

__all__ = ["CSPDarknet", "Darknet53", "KerasApplication", "ResNet"]
