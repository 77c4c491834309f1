"""Layers made of layers that architectures repeat."""

from visiongarden.blocks.aspp import ASPP, AtrousNormAct
from visiongarden.blocks.csp import CSP, C2f
from visiongarden.blocks.residual import DarknetStage, Residual, ResNetStage, ResNetUnit
from visiongarden.blocks.spp import SPP, SPPF

__all__ = [
    "ASPP",
    "CSP",
    "SPP",
    "SPPF",
    "AtrousNormAct",
    "C2f",
    "DarknetStage",
    "ResNetStage",
    "ResNetUnit",
    "Residual",
]
