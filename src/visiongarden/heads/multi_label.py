"""Multi-label head: a score for each class, independent of the others."""

from __future__ import annotations

from typing import Annotated, ClassVar

import keras
from pydantic import Field

from visiongarden.heads.prediction import prior_logit
from visiongarden.losses import Loss, MultiLabelLoss
from visiongarden.parts import Head
from visiongarden.parts.fields import Classes, Prior
from visiongarden.postprocess import Decoding, SigmoidDecoding
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions


@register
class MultiLabel(Head):
    """Multi-label head: a dense layer on the mean of the coarsest feature map, and sigmoids.

    Attributes:
        num_classes: number of classes, any number of which apply to an image.
        dropout: dropout rate before the dense layer.
        threshold: score from which a class applies, in predictions and for the F1 score.
        prior: probability of each class that an untrained model predicts; "auto" is one class per
            image, 1 / num_classes, and at most 0.5.
        levels: the coarsest one is used; None accepts all levels of the decoder.
        loss: loss of the raw predictions.
        decoding: decoding from logits to scores.

    Example:
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> vg.heads.MultiLabel(num_classes=3).shapes(features)
        {'p5': {'classes': (None, 3)}}
    """

    task: ClassVar[str] = "multi_label"
    num_classes: Classes
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    prior: Prior = "auto"
    loss: Loss = MultiLabelLoss()
    decoding: Decoding = SigmoidDecoding()

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the logits {level: {"classes": (batch, num_classes)}}."""
        level, x = list(features.items())[-1]
        x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, name="dropout")(x)
        prior = min(0.5, 1 / self.num_classes) if self.prior == "auto" else self.prior
        bias = keras.initializers.Constant(prior_logit(prior))
        x = keras.layers.Dense(self.num_classes, bias_initializer=bias, name="out")(x)
        return {level: {"classes": x}}
