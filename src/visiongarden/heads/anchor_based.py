"""The anchor-based head of YOLOv3: Redmon & Farhadi 2018 (arXiv 1804.02767), section 2.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from pydantic import PositiveFloat, model_validator

from visiongarden.assigners import AnchorIoU, Assigner
from visiongarden.blocks import RepConv
from visiongarden.errors import ConfigError, ContractError
from visiongarden.heads.prediction import (
    RepeatedBias,
    SplitAnchors,
    conditional_class_bias,
    objectness_bias,
)
from visiongarden.layers import ConvNormAct, Convolution
from visiongarden.losses import AnchorBasedLoss, Loss
from visiongarden.ops import SizeEncoding
from visiongarden.parts import Head
from visiongarden.parts.fields import Classes, Prior
from visiongarden.postprocess import AnchorBasedDecoding, Decoding
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, FeatureSpec, RawPredictions, Tensor, stride_of

Anchors = dict[str, tuple[tuple[PositiveFloat, PositiveFloat], ...]]

YOLOV3_ANCHORS: Anchors = {
    "p3": ((10, 13), (16, 30), (33, 23)),
    "p4": ((30, 61), (62, 45), (59, 119)),
    "p5": ((116, 90), (156, 198), (373, 326)),
}
"""(width, height) in pixels at 416 × 416, from COCO (YOLOv3, section 2.3)."""


@register
class AnchorBased(Head):
    """Anchor-based head of YOLOv3: box, objectness and classes for each anchor.

    For each level, a 1×1 convolution predicts, usually after a 3×3 convolution.

    Attributes:
        num_classes: number of classes, without background.
        anchors: level -> (width, height) of each anchor, in pixels of the network's input.
        scale_xy: scale of the center offset (YOLOv4, section 3.4), for all levels or level ->
            scale. 1 is YOLOv3; with 2, a center can be predicted from the neighboring cells, which
            are then trained on the box as well.
        size_encoding: how an offset scales its anchor; "squared" in YOLOv5, Scaled-YOLOv4 and
            YOLOv7.
        hidden_conv: whether a 3×3 convolution that doubles the channels precedes the 1×1
            convolution; False in YOLOv5, YOLOv3-tiny and YOLOv4-tiny.
        rep_conv: whether that convolution is a `RepConv`, as in YOLOv7; requires `hidden_conv`.
        prior: probability of an object at each anchor, and of each class, before training. "auto"
            is min(0.01, 8 / (640 / stride)**2) for the objectness, and min(0.01, 0.6 / (num_classes
            - 1)) for the classes, which are trained on objects alone (YOLOv5's published
            initialization).
        activation: activation of the 3×3 convolutions.
        loss: loss of the raw predictions.
        assigner: assigner of boxes to anchors and cells; None is `AnchorIoU`, with neighbors if
            `scale_xy` is 2 or more.
        decoding: decoding from offsets to boxes and from logits to scores.

    Example:
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> shapes = vg.heads.AnchorBased(num_classes=3).shapes(features, image_size=(64, 64))
        >>> shapes["p3"]["boxes"]
        (None, 8, 8, 3, 4)
        >>> shapes["p3"]["classes"]
        (None, 8, 8, 3, 3)
    """

    num_classes: Classes
    anchors: Anchors = YOLOV3_ANCHORS
    scale_xy: PositiveFloat | dict[str, PositiveFloat] = 2.0
    size_encoding: SizeEncoding = "exponential"
    hidden_conv: bool = True
    rep_conv: bool = False
    prior: Prior = "auto"
    activation: str = "leaky_relu"
    loss: Loss = AnchorBasedLoss()
    decoding: Decoding = AnchorBasedDecoding()

    @model_validator(mode="after")
    def _rep_conv_needs_hidden_conv(self) -> Self:
        if self.rep_conv and not self.hidden_conv:
            raise ConfigError(
                "rep_conv is True, but hidden_conv is False",
                rule="a RepConv replaces the hidden convolution",
                fix="rep_conv=False, or hidden_conv=True",
            )
        return self

    @model_validator(mode="after")
    def _scale_of_every_level(self) -> Self:
        if isinstance(self.scale_xy, dict) and set(self.scale_xy) != set(self.anchors):
            raise ConfigError(
                f"scale_xy has the levels {' '.join(sorted(self.scale_xy))}",
                rule=f"the levels of the anchors, {' '.join(sorted(self.anchors))}",
                fix="scale_xy=1.0, one value for all levels",
            )
        return self

    def anchor_shapes(self, level: str) -> np.ndarray:
        """Return (width, height) of each anchor of a level in pixels, float32 (anchors, 2).

        Args:
            level: name of the level.
        """
        return np.array(self.anchors[level], np.float32)

    def fitting_anchors(self, sides: np.ndarray, levels: Sequence[str]) -> dict[str, Any]:
        """Return `anchors` that are the means of as many groups of objects of similar area.

        Args:
            sides: width and height of each object in pixels, (n, 2).
            levels: names of the levels.
        """
        order = [level for level in sorted(levels, key=stride_of) for _ in self.anchors[level]]
        ranked = sides[np.argsort(sides.prod(axis=1), kind="stable")]
        places = np.linspace(0, len(ranked), len(order) + 1)
        found: dict[str, list[list[int]]] = {level: [] for level in levels}
        for level, first, last in zip(order, places[:-1], places[1:], strict=True):
            group = ranked[int(first) : max(int(np.ceil(last)), int(first) + 1)]
            found[level].append([max(round(float(side)), 1) for side in group.mean(axis=0)])
        return {"anchors": found}

    def check(self, offered: FeatureSpec, giver: str) -> None:
        """Raise an error unless the anchors have exactly the offered levels.

        Args:
            offered: levels, channels and strides that the preceding part returns.
            giver: role and repr of the preceding part, for the message.

        Raises:
            ContractError: a level has no anchors, or anchors have no level.
        """
        if set(self.anchors) == set(offered):
            return
        known = {lv: sizes for lv, sizes in self.anchors.items() if lv in offered}
        # For the fix: a square anchor of eight strides for each level without anchors.
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
        """Build the predictions of each level.

        Returns:
            level -> {"boxes": (B, H, W, A, 4), "objectness": (B, H, W, A), "classes": (B, H, W, A,
            num_classes)} with A anchors.
        """
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

    def _widened(self, x: Tensor, name: str) -> Tensor:
        if not self.hidden_conv:
            return x
        filters = 2 * x.shape[-1]
        if self.rep_conv:
            return RepConv(filters, self.activation, name=name)(x)
        return ConvNormAct(filters, 3, activation=self.activation, name=name)(x)

    def chosen_assigner(self) -> Assigner:
        """Return the assigner; by default by shape, with neighbors if `scale_xy` is 2 or more."""
        if self.assigner is not None:
            return super().chosen_assigner()
        scales = self.scale_xy.values() if isinstance(self.scale_xy, dict) else [self.scale_xy]
        # From 2 on, a predicted center reaches half a cell beyond its cell, and so the boxes that
        # are assigned to the nearest neighbors.
        return AnchorIoU(neighbors=min(scales) >= 2)
