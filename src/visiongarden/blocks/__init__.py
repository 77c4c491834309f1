"""Layers made of layers that architectures repeat."""

from visiongarden.blocks.csp import CSP, C2f
from visiongarden.blocks.residual import DarknetStage, Residual, ResNetStage, ResNetUnit
from visiongarden.blocks.spp import SPP, SPPF

__all__ = ["CSP", "SPP", "SPPF", "C2f", "DarknetStage", "ResNetStage", "ResNetUnit", "Residual"]
