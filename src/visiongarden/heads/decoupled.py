"""Anchor-free decoupled head of YOLOX: Ge et al. 2021 (arXiv 2107.08430), figure 2."""

from __future__ import annotations

import keras

from visiongarden.assigners import Assigner, SimOTA
from visiongarden.heads.prediction import (
    RepeatedBias,
    conditional_class_bias,
    objectness_bias,
    offset_bias,
)
from visiongarden.layers import ConvNormAct, Convolution, SeparableNormAct
from visiongarden.losses import DecoupledLoss, Loss
from visiongarden.parts import Head
from visiongarden.parts.fields import Classes, Multiplier, Prior
from visiongarden.postprocess import Decoding, PointDecoding
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions, Tensor


@register
class Decoupled(Head):
    """Decoupled head of YOLOX: one branch for the classes, one for box and objectness.

    For each level, a 1×1 convolution is followed by two branches of two 3×3 convolutions.

    Attributes:
        num_classes: number of classes, without background.
        width: factor on the 256 channels of every convolution. None uses the channels of the finest
            level, which are the same number in all published sizes.
        depthwise: whether the 3×3 convolutions are depthwise separable.
        prior: probability of an object and of each class before training; YOLOX uses 0.01 for both.
            "auto" is min(0.01, 8 / (640 / stride)**2) for the objectness, and min(0.01, 0.6 /
            (num_classes - 1)) for the classes, which are trained on objects alone (YOLOv5's
            published initialization).
        activation: activation of the convolutions.
        loss: loss of the raw predictions.
        assigner: assigner of boxes to cells.
        decoding: decoding from offsets to boxes and from logits to scores.

    Example:
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> head = vg.heads.Decoupled(num_classes=3, width=0.25)
        >>> shapes = head.shapes(features, image_size=(64, 64))
        >>> shapes["p3"]["boxes"]
        (None, 8, 8, 4)
        >>> shapes["p3"]["objectness"]
        (None, 8, 8, 1)
    """

    num_classes: Classes
    width: Multiplier | None = None
    depthwise: bool = False
    prior: Prior = "auto"
    activation: str = "silu"
    loss: Loss = DecoupledLoss()
    assigner: Assigner = SimOTA()
    decoding: Decoding = PointDecoding()

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the predictions of each level.

        Returns:
            level -> {"boxes": (B, H, W, 4), "objectness": (B, H, W, 1), "classes": (B, H, W,
            num_classes)}.
        """
        finest = next(iter(features.values()))
        filters = finest.shape[-1] if self.width is None else int(256 * self.width)
        class_bias = conditional_class_bias(self.prior, self.num_classes)
        raw: RawPredictions = {}
        for level, x in features.items():
            stem = ConvNormAct(filters, activation=self.activation, name=f"{level}_stem")
            x = stem(x)
            classes = self._branch(x, filters, f"{level}_class_conv")
            boxes = self._branch(x, filters, f"{level}_box_conv")
            raw[level] = {
                "classes": _predict(self.num_classes, class_bias, f"{level}_classes")(classes),
                "boxes": _predict(4, offset_bias(), f"{level}_boxes")(boxes),
                "objectness": _predict(
                    1, objectness_bias(self.prior, level), f"{level}_objectness"
                )(boxes),
            }
        return raw

    def _branch(self, x: Tensor, filters: int, name: str) -> Tensor:
        conv = SeparableNormAct if self.depthwise else ConvNormAct
        for number in (1, 2):
            x = conv(filters, 3, activation=self.activation, name=f"{name}{number}")(x)
        return x


def _predict(outputs: int, bias: float | list[float], name: str) -> keras.Layer:
    return Convolution(outputs, 1, bias_initializer=RepeatedBias(bias), name=name)
