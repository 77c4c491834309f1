"""Blocks: layers made of layers that architectures repeat."""

from visiongarden.blocks.alternating import Alternating, AlternatingSPP
from visiongarden.blocks.aspp import ASPP
from visiongarden.blocks.attention import PSA, Attend, AttentionUnit, SelfAttention
from visiongarden.blocks.cib import CIB, C2fCIB
from visiongarden.blocks.composite_backbone import CBFuse, CBLinear
from visiongarden.blocks.csp import CSP, C2f, C3k2
from visiongarden.blocks.csp_stage import CSPDarknetStage, PartialDense, ReversedCSP
from visiongarden.blocks.downsample import AConv, ADown, MPDown, SCDown
from visiongarden.blocks.elan import CSPELAN, ELAN, RepCSP, RepResidual
from visiongarden.blocks.inverted_residual import InvertedResidual, InvertedResidualStage
from visiongarden.blocks.rep_conv import RepConv, RepDepthwise
from visiongarden.blocks.residual import DarknetStage, Residual, ResNetStage, ResNetUnit
from visiongarden.blocks.separable import Focus, SeparableCSP, SeparableResidual
from visiongarden.blocks.spp import SPP, SPPCSPC, SPPF

__all__ = [
    "ASPP",
    "CIB",
    "CSP",
    "CSPELAN",
    "ELAN",
    "PSA",
    "SPP",
    "SPPCSPC",
    "SPPF",
    "AConv",
    "ADown",
    "Alternating",
    "AlternatingSPP",
    "Attend",
    "AttentionUnit",
    "C2f",
    "C2fCIB",
    "C3k2",
    "CBFuse",
    "CBLinear",
    "CSPDarknetStage",
    "DarknetStage",
    "Focus",
    "InvertedResidual",
    "InvertedResidualStage",
    "MPDown",
    "PartialDense",
    "RepCSP",
    "RepConv",
    "RepDepthwise",
    "RepResidual",
    "ResNetStage",
    "ResNetUnit",
    "Residual",
    "ReversedCSP",
    "SCDown",
    "SelfAttention",
    "SeparableCSP",
    "SeparableResidual",
]
