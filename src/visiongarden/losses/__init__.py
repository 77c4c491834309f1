"""Losses: one formula per file, and the losses of whole heads.

`Loss` is the loss of a head. `ScoreLoss`, `BoxLoss` and `RegionLoss` are parts of it, which heads'
losses have as fields.
"""

from visiongarden.losses.anchor_based import AnchorBasedLoss
from visiongarden.losses.anchor_free import AnchorFreeLoss
from visiongarden.losses.bce import BinaryCrossentropy, binary_crossentropy
from visiongarden.losses.box_loss import BoxLoss, CIoU, DIoU, GIoU, IoU, SIoU, SmoothL1
from visiongarden.losses.classification import ClassificationLoss
from visiongarden.losses.combined import CombinedLoss
from visiongarden.losses.crossentropy import softmax_crossentropy
from visiongarden.losses.decoupled import DecoupledLoss
from visiongarden.losses.detection import Assigned, DetectionLoss
from visiongarden.losses.dfl import distribution_focal
from visiongarden.losses.dice_loss import Dice, dice
from visiongarden.losses.dual_assignment import DualAssignmentLoss
from visiongarden.losses.focal_loss import Focal, focal
from visiongarden.losses.hard_examples import hardest
from visiongarden.losses.loss import Loss, quotients
from visiongarden.losses.lovasz_loss import Lovasz, lovasz
from visiongarden.losses.mask_rcnn import MaskRCNNLoss
from visiongarden.losses.multi_label import MultiLabelLoss
from visiongarden.losses.prototype_masks import PrototypeMaskLoss
from visiongarden.losses.quality_focal_loss import QualityFocal, quality_focal
from visiongarden.losses.region_loss import RegionLoss
from visiongarden.losses.regression import RegressionLoss
from visiongarden.losses.retinanet import RetinaNetLoss
from visiongarden.losses.score_loss import ScoreLoss
from visiongarden.losses.segmentation import SegmentationLoss
from visiongarden.losses.smooth_l1_loss import smooth_l1
from visiongarden.losses.tversky_loss import Tversky, tversky
from visiongarden.losses.varifocal_loss import Varifocal, varifocal

__all__ = [
    "AnchorBasedLoss",
    "AnchorFreeLoss",
    "Assigned",
    "BinaryCrossentropy",
    "BoxLoss",
    "CIoU",
    "ClassificationLoss",
    "CombinedLoss",
    "DIoU",
    "DecoupledLoss",
    "DetectionLoss",
    "Dice",
    "DualAssignmentLoss",
    "Focal",
    "GIoU",
    "IoU",
    "Loss",
    "Lovasz",
    "MaskRCNNLoss",
    "MultiLabelLoss",
    "PrototypeMaskLoss",
    "QualityFocal",
    "RegionLoss",
    "RegressionLoss",
    "RetinaNetLoss",
    "SIoU",
    "ScoreLoss",
    "SegmentationLoss",
    "SmoothL1",
    "Tversky",
    "Varifocal",
    "binary_crossentropy",
    "dice",
    "distribution_focal",
    "focal",
    "hardest",
    "lovasz",
    "quality_focal",
    "quotients",
    "smooth_l1",
    "softmax_crossentropy",
    "tversky",
    "varifocal",
]
