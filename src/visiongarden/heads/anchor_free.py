"""Anchor-free decoupled head with distribution-focal box regression."""

from __future__ import annotations

from visiongarden.heads.prediction import Branch, prior_logit
from visiongarden.losses import AnchorFreeLoss
from visiongarden.parts import Head
from visiongarden.parts.fields import Bins
from visiongarden.postprocess import AnchorFreeDecode
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions


@register
class AnchorFree(Head):
    """Two branches a level: distances to a box's four sides as distributions, and classes.

    Decoupled branches after YOLOX (Ge et al. 2021), box distributions after Generalized Focal Loss
    (Li et al. 2020); the widths are those of YOLOv8's published table.

    Attributes:
        num_classes: number of classes, without background.
        bins: values of each distance's distribution, 0 to bins - 1 strides.
        activation: of the convolutions.
    """

    bins: Bins = 16
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """For each level {"boxes": (B, H, W, 4 * bins), "classes": (B, H, W, num_classes)}."""
        finest = next(iter(features.values())).shape[-1]
        box_filters = max(16, finest // 4, 4 * self.bins)
        class_filters = max(finest, min(self.num_classes, 100))
        raw: RawPredictions = {}
        for level, x in features.items():
            boxes = Branch(
                box_filters, 4 * self.bins, activation=self.activation, name=f"{level}_boxes"
            )
            classes = Branch(
                class_filters,
                self.num_classes,
                bias=prior_logit(),
                activation=self.activation,
                name=f"{level}_classes",
            )
            raw[level] = {"boxes": boxes(x), "classes": classes(x)}
        return raw

    def loss(self) -> AnchorFreeLoss:
        """Task-aligned assignment; CIoU, distribution focal loss, cross-entropy."""
        return AnchorFreeLoss(num_classes=self.num_classes, bins=self.bins)

    def decode(self) -> AnchorFreeDecode:
        """Expected distances to boxes, logits to scores."""
        return AnchorFreeDecode(bins=self.bins)
