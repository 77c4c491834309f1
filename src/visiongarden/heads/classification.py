"""The classification head: global mean, dropout, one dense layer."""

from __future__ import annotations

from typing import Annotated, ClassVar

import keras
from pydantic import Field

from visiongarden.losses import ClassificationLoss
from visiongarden.parts import Head
from visiongarden.postprocess import SoftmaxDecode
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions


@register
class Classification(Head):
    """The mean of the coarsest map, and a dense layer on it (Lin et al. 2014, section 3.2).

    Attributes:
        num_classes: number of classes.
        dropout: share of the mean's channels that a training step leaves out.
        label_smoothing: share of a target that is spread evenly over all classes.
        levels: the coarsest is used; None takes that of what it is offered.
    """

    task: ClassVar[str] = "classification"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """{level: {"classes": (batch, classes)}}, logits."""
        level, x = list(features.items())[-1]
        x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, name="dropout")(x)
        return {level: {"classes": keras.layers.Dense(self.num_classes, name="out")(x)}}

    def loss(self) -> ClassificationLoss:
        """Softmax cross-entropy."""
        return ClassificationLoss(label_smoothing=self.label_smoothing)

    def decode(self) -> SoftmaxDecode:
        """Logits to scores."""
        return SoftmaxDecode()
