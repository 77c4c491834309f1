"""Losses: one formula a file, the losses of whole heads, and the assigners they use."""

from visiongarden.losses.anchor_based import AnchorBasedLoss
from visiongarden.losses.anchor_free import AnchorFreeLoss
from visiongarden.losses.assigners import AnchorIoU, SimOTA, TaskAligned
from visiongarden.losses.bce import binary_crossentropy
from visiongarden.losses.decoupled import DecoupledLoss
from visiongarden.losses.dfl import distribution_focal
from visiongarden.losses.dual_assignment import DualAssignmentLoss
from visiongarden.losses.focal import focal

__all__ = [
    "AnchorBasedLoss",
    "AnchorFreeLoss",
    "AnchorIoU",
    "DecoupledLoss",
    "DualAssignmentLoss",
    "SimOTA",
    "TaskAligned",
    "binary_crossentropy",
    "distribution_focal",
    "focal",
]
