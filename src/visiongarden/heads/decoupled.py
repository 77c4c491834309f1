"""The anchor-free decoupled head of YOLOX: Ge et al. 2021 (arXiv 2107.08430), figure 2."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.heads.prediction import prior_logit
from visiongarden.layers import ConvNormAct, Convolution, SeparableNormAct
from visiongarden.losses import DecoupledLoss
from visiongarden.parts import Head
from visiongarden.parts.fields import Multiplier
from visiongarden.postprocess import PointDecode
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions


@register
class Decoupled(Head):
    """A 1×1, then two branches of two 3×3 a level: classes; box and objectness.

    Attributes:
        num_classes: number of classes, without background.
        width: factor on the 256 channels of every convolution.
        depthwise: whether the 3×3 convolutions are separable.
        activation: of the convolutions.
    """

    width: Multiplier = 1.0
    depthwise: bool = False
    activation: str = "silu"

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """For each level boxes (B, H, W, 4), objectness (.., 1), classes (.., num_classes)."""
        filters = int(256 * self.width)
        raw: RawPredictions = {}
        for level, x in features.items():
            stem = ConvNormAct(filters, activation=self.activation, name=f"{level}_stem")
            x = stem(x)
            classes = self._branch(x, filters, f"{level}_class_conv")
            boxes = self._branch(x, filters, f"{level}_box_conv")
            raw[level] = {
                "classes": _predict(self.num_classes, prior_logit(), f"{level}_classes")(classes),
                "boxes": _predict(4, 0.0, f"{level}_boxes")(boxes),
                "objectness": _predict(1, prior_logit(), f"{level}_objectness")(boxes),
            }
        return raw

    def _branch(self, x: Any, filters: int, name: str) -> Any:
        conv = SeparableNormAct if self.depthwise else ConvNormAct
        for number in (1, 2):
            x = conv(filters, 3, activation=self.activation, name=f"{name}{number}")(x)
        return x

    def loss(self) -> DecoupledLoss:
        """SimOTA assignment; IoU loss, cross-entropy for objectness and classes."""
        return DecoupledLoss(num_classes=self.num_classes)

    def decode(self) -> PointDecode:
        """Offsets to boxes, logits to scores."""
        return PointDecode()


def _predict(outputs: int, bias: float, name: str) -> keras.Layer:
    start = keras.initializers.Constant(bias)
    return Convolution(outputs, 1, bias_initializer=start, name=name)
