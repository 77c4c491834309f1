"""Layers made of layers that architectures repeat."""

from visiongarden.blocks.alternating import Alternating, AlternatingSPP
from visiongarden.blocks.csp import CSP, C2f
from visiongarden.blocks.csp_stage import CSPDarknetStage, PartialDense
from visiongarden.blocks.residual import DarknetStage, Residual, ResNetStage, ResNetUnit
from visiongarden.blocks.spp import SPP, SPPF

__all__ = [
    "CSP",
    "SPP",
    "SPPF",
    "Alternating",
    "AlternatingSPP",
    "C2f",
    "CSPDarknetStage",
    "DarknetStage",
    "PartialDense",
    "ResNetStage",
    "ResNetUnit",
    "Residual",
]
