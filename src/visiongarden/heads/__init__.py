"""Heads: feature maps -> raw predictions, with the loss and the decoding of their kind."""

from visiongarden.heads.anchor_based import AnchorBased
from visiongarden.heads.anchor_free import AnchorFree
from visiongarden.heads.decoupled import Decoupled
from visiongarden.heads.dual_assignment import DualAssignment

__all__ = [
    "AnchorBased",
    "AnchorFree",
    "Decoupled",
    "DualAssignment",
]
