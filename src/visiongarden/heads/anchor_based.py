"""The anchor-based head of YOLOv3: Redmon & Farhadi 2018 (arXiv 1804.02767), section 2.1."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import PositiveFloat, model_validator

from visiongarden.assigners import AnchorIoU
from visiongarden.blocks import RepConv
from visiongarden.errors import ConfigError, ContractError
from visiongarden.heads.prediction import (
    RepeatedBias,
    SplitAnchors,
    conditional_class_bias,
    objectness_bias,
)
from visiongarden.layers import ConvNormAct, Convolution
from visiongarden.losses import AnchorBasedLoss
from visiongarden.ops import Sizes
from visiongarden.parts import Head
from visiongarden.parts.fields import Prior
from visiongarden.postprocess import AnchorBasedDecode
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, FeatureSpec, RawPredictions

Anchors = dict[str, tuple[tuple[PositiveFloat, PositiveFloat], ...]]

YOLOV3_ANCHORS: Anchors = {
    "p3": ((10, 13), (16, 30), (33, 23)),
    "p4": ((30, 61), (62, 45), (59, 119)),
    "p5": ((116, 90), (156, 198), (373, 326)),
}
"""(width, height) in pixels at 416 × 416, from COCO (YOLOv3, section 2.3)."""


@register
class AnchorBased(Head):
    """A 1×1 convolution a level, as a rule after a 3×3; box, objectness and classes an anchor.

    Attributes:
        num_classes: number of classes, without background.
        anchors: level -> (width, height) of each anchor, pixels of the network's input.
        scale_xy: reach of a cell's centre prediction (YOLOv4, section 3.4), for all levels or level
            -> reach; 1 is YOLOv3's own, 2 reaches the neighbouring cells, which then learn the box
            too.
        sizes: how an offset scales its anchor; "squared" in YOLOv5, Scaled-YOLOv4 and YOLOv7.
        before: what stands before the 1×1: a 3×3 that doubles the channels, plain or as a `RepConv`
            (YOLOv7), or nothing (YOLOv5, the tiny YOLOv3 and YOLOv4).
        prior: probability of an object at each anchor and of each class before training. "auto" is
            min(0.01, 8 / (640 / stride)**2) for the objectness, and
            min(0.01, 0.6 / (num_classes - 1)) for the classes, which are learned from objects alone
            (YOLOv5's published initialization).
        activation: of the 3×3 convolutions.
    """

    anchors: Anchors = YOLOV3_ANCHORS
    scale_xy: PositiveFloat | dict[str, PositiveFloat] = 2.0
    sizes: Sizes = "exponential"
    before: Literal["conv", "repconv", "nothing"] = "conv"
    prior: Prior = "auto"
    activation: str = "leaky_relu"

    @model_validator(mode="after")
    def _reach_of_every_level(self) -> Self:
        if isinstance(self.scale_xy, dict) and set(self.scale_xy) != set(self.anchors):
            raise ConfigError(
                f"scale_xy has {' '.join(sorted(self.scale_xy))}",
                rule=f"the levels of the anchors, {' '.join(sorted(self.anchors))}",
                fix="scale_xy=1.0, one number for all",
            )
        return self

    def check(self, offered: FeatureSpec, giver: str) -> None:
        """There is one set of anchors for each level, and none besides."""
        if set(self.anchors) == set(offered):
            return
        known = {lv: sizes for lv, sizes in self.anchors.items() if lv in offered}
        missing = {lv: ((8.0 * 2 ** int(lv[1:]),) * 2,) for lv in offered if lv not in known}
        changes: dict[str, Any] = {"anchors": dict(sorted((known | missing).items()))}
        if isinstance(self.scale_xy, dict):
            changes["scale_xy"] = {lv: self.scale_xy.get(lv, 1.0) for lv in changes["anchors"]}
        raise ContractError(
            f"head {self} cannot follow {giver}",
            wants=("levels", " ".join(sorted(self.anchors)) + " (those of its anchors)"),
            offered=" ".join(offered),
            fix=self.with_fields(**changes),
        )

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """For each level boxes (B, H, W, A, 4), objectness (.., A), classes (.., A, C)."""
        raw: RawPredictions = {}
        classes = [conditional_class_bias(self.prior, self.num_classes)] * self.num_classes
        for level, x in features.items():
            count = len(self.anchors[level])
            x = self._widened(x, f"{level}_conv")
            x = Convolution(
                count * (5 + self.num_classes),
                1,
                bias_initializer=RepeatedBias(
                    [*[0.0] * 4, objectness_bias(self.prior, level), *classes]
                ),
                name=f"{level}_out",
            )(x)
            x = SplitAnchors(count, name=f"{level}_split")(x)
            raw[level] = {
                "boxes": x[..., :4],
                "objectness": x[..., 4],
                "classes": x[..., 5:],
            }
        return raw

    def _widened(self, x: Any, name: str) -> Any:
        if self.before == "nothing":
            return x
        filters = 2 * x.shape[-1]
        if self.before == "repconv":
            return RepConv(filters, self.activation, name=name)(x)
        return ConvNormAct(filters, 3, activation=self.activation, name=name)(x)

    def loss(self) -> AnchorBasedLoss:
        """Assignment by anchor shape; CIoU, cross-entropy for objectness and classes."""
        scales = self.scale_xy.values() if isinstance(self.scale_xy, dict) else [self.scale_xy]
        return AnchorBasedLoss(
            num_classes=self.num_classes,
            anchors=self.anchors,
            scale_xy=self.scale_xy,
            sizes=self.sizes,
            assigner=AnchorIoU(neighbours=min(scales) >= 2),
        )

    def decode(self) -> AnchorBasedDecode:
        """Offsets to boxes, logits to scores."""
        return AnchorBasedDecode(anchors=self.anchors, scale_xy=self.scale_xy, sizes=self.sizes)
