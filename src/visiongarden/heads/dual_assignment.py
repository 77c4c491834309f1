"""The head without NMS of YOLOv10: Wang et al. 2024 (arXiv 2405.14458), section 3.1."""

from __future__ import annotations

from keras import ops

from visiongarden.heads.anchor_free import TwoBranches
from visiongarden.layers.folding import is_folding
from visiongarden.losses import DualAssignmentLoss
from visiongarden.parts import Head
from visiongarden.parts.fields import Bins, Prior
from visiongarden.postprocess import AnchorFreeDecode
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions


@register
class DualAssignment(Head):
    """The anchor-free head twice: one learns many cells a box, the other one cell a box.

    Training with many positives teaches the features; predictions come from the one-to-one
    branches, whose boxes do not repeat each other, so that no NMS is needed. The one-to-one
    branches pass no gradient to the features.

    Attributes:
        num_classes: number of classes, without background.
        bins: values of each distance's distribution, 0 to bins - 1 strides.
        light_classes: depthwise and 1×1 convolutions in the classes' branch, as in the paper.
        prior: probability of each class in each cell before training, in both pairs of branches.
            "auto" is min(0.01, 5 / num_classes / (640 / stride)**2), as in `AnchorFree`, on whose
            head YOLOv10 builds.
        activation: of the convolutions.
    """

    bins: Bins = 16
    light_classes: bool = True
    prior: Prior = "auto"
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """As `AnchorFree`; "many_boxes" and "many_classes" are for training alone."""
        draw = TwoBranches(self, features)
        raw: RawPredictions = {}
        for level, x in features.items():
            raw[level] = draw(ops.stop_gradient(x), level, f"{level}_one")
            if not is_folding():
                many = draw(x, level, f"{level}_many", training_only=True)
                raw[level] |= {f"many_{name}": value for name, value in many.items()}
        return raw

    def loss(self) -> DualAssignmentLoss:
        """The anchor-free loss of both pairs of branches, assigned by one measure."""
        return DualAssignmentLoss(num_classes=self.num_classes, bins=self.bins)

    def decode(self) -> AnchorFreeDecode:
        """Expected distances to boxes, logits to scores, of the one-to-one branches."""
        return AnchorFreeDecode(bins=self.bins, needs_nms=False)
