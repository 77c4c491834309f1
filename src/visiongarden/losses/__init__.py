"""Losses: one formula per file, and the losses of whole heads."""

from visiongarden.losses.anchor_based import AnchorBasedLoss
from visiongarden.losses.anchor_free import AnchorFreeLoss
from visiongarden.losses.bce import binary_crossentropy
from visiongarden.losses.classification import ClassificationLoss
from visiongarden.losses.crossentropy import softmax_crossentropy
from visiongarden.losses.decoupled import DecoupledLoss
from visiongarden.losses.dfl import distribution_focal
from visiongarden.losses.dice_loss import dice
from visiongarden.losses.dual_assignment import DualAssignmentLoss
from visiongarden.losses.focal_loss import focal
from visiongarden.losses.hard_examples import hardest
from visiongarden.losses.lovasz_loss import lovasz
from visiongarden.losses.quality_focal_loss import quality_focal
from visiongarden.losses.segmentation import SegmentationLoss
from visiongarden.losses.smooth_l1_loss import smooth_l1
from visiongarden.losses.tversky_loss import tversky
from visiongarden.losses.varifocal_loss import varifocal

__all__ = [
    "AnchorBasedLoss",
    "AnchorFreeLoss",
    "ClassificationLoss",
    "DecoupledLoss",
    "DualAssignmentLoss",
    "SegmentationLoss",
    "binary_crossentropy",
    "dice",
    "distribution_focal",
    "focal",
    "hardest",
    "lovasz",
    "quality_focal",
    "smooth_l1",
    "softmax_crossentropy",
    "tversky",
    "varifocal",
]
