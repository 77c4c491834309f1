"""Heads: feature maps -> raw predictions, with their loss and decoding."""

from visiongarden.heads.anchor_based import AnchorBased
from visiongarden.heads.anchor_free import AnchorFree
from visiongarden.heads.classification import Classification
from visiongarden.heads.combined import CombinedHeads
from visiongarden.heads.decoupled import Decoupled
from visiongarden.heads.dual_assignment import DualAssignment
from visiongarden.heads.mask_rcnn import MaskRCNN
from visiongarden.heads.multi_label import MultiLabel
from visiongarden.heads.prototype_masks import (
    AnchorBasedMasks,
    AnchorFreeMasks,
    DecoupledMasks,
    PrototypeMasks,
    RetinaNetMasks,
)
from visiongarden.heads.regression import Regression
from visiongarden.heads.retinanet import RetinaNetHead
from visiongarden.heads.segmentation import Segmentation

__all__ = [
    "AnchorBased",
    "AnchorBasedMasks",
    "AnchorFree",
    "AnchorFreeMasks",
    "Classification",
    "CombinedHeads",
    "Decoupled",
    "DecoupledMasks",
    "DualAssignment",
    "MaskRCNN",
    "MultiLabel",
    "PrototypeMasks",
    "Regression",
    "RetinaNetHead",
    "RetinaNetMasks",
    "Segmentation",
]
