"""Anchor-free decoupled head with box distributions."""

from __future__ import annotations

from typing import Any

from visiongarden.assigners import Assigner, TaskAligned
from visiongarden.heads.prediction import Branch, LightBranch, class_bias, distance_bias
from visiongarden.losses import AnchorFreeLoss, Loss
from visiongarden.parts import Head
from visiongarden.parts.fields import Bins, Classes, Groups, Prior
from visiongarden.postprocess import AnchorFreeDecoding, Decoding
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions, Tensor


@register
class AnchorFree(Head):
    """Anchor-free head: distributions of the distances to a box's sides, and classes.

    Each level has two branches. Decoupled branches after YOLOX (Ge et al. 2021), box distributions
    after Generalized Focal Loss (Li et al. 2020); the widths are those of YOLOv8's published table,
    which YOLOv9 to YOLO11 use as well.

    Attributes:
        num_classes: number of classes, without background.
        bins: number of values of each distance's distribution, 0 to bins - 1 strides.
        box_groups: groups of the convolutions in the box branch, from the second one on; 4 in the
            table of YOLOv9's paper.
        light_classes: whether the class branch uses depthwise and 1×1 convolutions, as in YOLO11.
        prior: probability of each class in each cell before training. "auto" is min(0.01, 5 /
            num_classes / (640 / stride)**2), YOLOv8's published initialization with RetinaNet's
            0.01 (Lin et al. 2017, section 4.1) as upper bound: the class loss of an untrained head
            then does not grow with the number of classes.
        activation: activation of the convolutions.
        loss: loss of the raw predictions.
        assigner: assigner of boxes to cells.
        decoding: decoding from expected distances to boxes and from logits to scores.

    Example:
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> shapes = vg.heads.AnchorFree(num_classes=3).shapes(features, image_size=(64, 64))
        >>> shapes["p3"]["boxes"]
        (None, 8, 8, 64)
        >>> shapes["p3"]["classes"]
        (None, 8, 8, 3)
    """

    num_classes: Classes
    bins: Bins = 16
    box_groups: Groups = 1
    light_classes: bool = False
    prior: Prior = "auto"
    activation: str = "silu"
    loss: Loss = AnchorFreeLoss()
    assigner: Assigner = TaskAligned()
    decoding: Decoding = AnchorFreeDecoding()

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build {"boxes": (B, H, W, 4 * bins), "classes": (B, H, W, num_classes)} per level."""
        draw = TwoBranches(self, features, self.box_groups)
        return {level: draw(x, level, level) for level, x in features.items()}


class TwoBranches:
    """Builder of the box and class branches of an anchor-free head.

    The widths of both branches follow from the channels of the finest level.

    Args:
        head: an anchor-free head with the fields `num_classes`, `bins`, `light_classes`, `prior`
            and `activation`.
        features: all levels, finest first.
        box_groups: groups of the convolutions in the box branch, from the second one on.
    """

    def __init__(self, head: Any, features: FeatureMaps, box_groups: int = 1) -> None:
        finest = next(iter(features.values())).shape[-1]
        self.head = head
        self.box_groups = box_groups
        self.box_filters = max(16, finest // 4, 4 * head.bins)
        self.class_filters = max(finest, min(head.num_classes, 100))

    def __call__(
        self, x: Tensor, level: str, name: str, training_only: bool = False
    ) -> dict[str, Tensor]:
        """Return {"boxes": tensor, "classes": tensor} of one level.

        Args:
            x: feature map (batch, height, width, channels).
            level: name of the level.
            name: prefix of the layer names.
            training_only: whether the branches are used in training only.
        """
        head = self.head
        classes_branch = LightBranch if head.light_classes else Branch
        boxes = Branch(
            self.box_filters,
            4 * head.bins,
            bias=distance_bias(head.bins),
            groups=self.box_groups,
            activation=head.activation,
            name=f"{name}_boxes",
        )
        classes = classes_branch(
            self.class_filters,
            head.num_classes,
            bias=class_bias(head.prior, head.num_classes, level),
            activation=head.activation,
            name=f"{name}_classes",
        )
        boxes.training_only = classes.training_only = training_only
        return {"boxes": boxes(x), "classes": classes(x)}
