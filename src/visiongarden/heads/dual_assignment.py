"""NMS-free head of YOLOv10: Wang et al. 2024 (arXiv 2405.14458), section 3.1."""

from __future__ import annotations

from keras import ops

from visiongarden.assigners import TaskAligned
from visiongarden.heads.anchor_free import TwoBranches
from visiongarden.layers.fold import is_folding
from visiongarden.losses import DualAssignmentLoss, Loss
from visiongarden.parts import Head
from visiongarden.parts.fields import Bins, Classes, Prior
from visiongarden.postprocess import AnchorFreeDecoding, Decoding
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions


@register
class DualAssignment(Head):
    """NMS-free head: two anchor-free heads, trained with one and with many cells per box.

    Training with many positives teaches the features. Predictions come from the one-to-one
    branches, which predict each box once, so that no NMS is needed. The one-to-one branches pass no
    gradient to the features.

    Attributes:
        num_classes: number of classes, without background.
        bins: number of values of each distance's distribution, 0 to bins - 1 strides.
        light_classes: whether the class branch uses depthwise and 1×1 convolutions, as in the
            paper.
        prior: probability of each class in each cell before training, in both pairs of branches.
            "auto" is min(0.01, 5 / num_classes / (640 / stride)**2), as in `AnchorFree`, on whose
            head YOLOv10 builds.
        activation: activation of the convolutions.
        loss: loss of both pairs of branches.
        assigner: assigner of the one-to-many branches.
        decoding: decoding of the one-to-one branches to boxes and scores.

    Example:
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> shapes = vg.heads.DualAssignment(num_classes=3).shapes(features, image_size=(64, 64))
        >>> sorted(shapes["p3"])
        ['boxes', 'classes', 'many_boxes', 'many_classes']
    """

    num_classes: Classes
    bins: Bins = 16
    light_classes: bool = True
    prior: Prior = "auto"
    activation: str = "silu"
    loss: Loss = DualAssignmentLoss()
    assigner: TaskAligned = TaskAligned()
    decoding: Decoding = AnchorFreeDecoding(needs_nms=False)

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the outputs of `AnchorFree`, and "many_boxes" and "many_classes" for training."""
        draw = TwoBranches(self, features)
        raw: RawPredictions = {}
        for level, x in features.items():
            raw[level] = draw(ops.stop_gradient(x), level, f"{level}_one")
            if not is_folding():
                many = draw(x, level, f"{level}_many", training_only=True)
                raw[level] |= {f"many_{name}": value for name, value in many.items()}
        return raw
