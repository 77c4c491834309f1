"""Classification head: global average pooling, dropout and one dense layer."""

from __future__ import annotations

from typing import Annotated, ClassVar

import keras
from pydantic import Field

from visiongarden.losses import ClassificationLoss, Loss
from visiongarden.parts import Head
from visiongarden.parts.fields import Classes
from visiongarden.postprocess import Decoding, SoftmaxDecoding
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions


@register
class Classification(Head):
    """Classification head: a dense layer on the mean of the coarsest feature map.

    Global average pooling after Lin et al. 2014, section 3.2.

    Attributes:
        num_classes: number of classes.
        dropout: dropout rate before the dense layer.
        levels: the coarsest one is used; None accepts all levels of the decoder.
        loss: loss of the raw predictions.
        decoding: decoding from logits to scores.

    Example:
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> vg.heads.Classification(num_classes=3).shapes(features)
        {'p5': {'classes': (None, 3)}}
    """

    task: ClassVar[str] = "classification"
    num_classes: Classes
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    loss: Loss = ClassificationLoss()
    decoding: Decoding = SoftmaxDecoding()

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the logits {level: {"classes": (batch, num_classes)}}."""
        level, x = list(features.items())[-1]
        x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, name="dropout")(x)
        return {level: {"classes": keras.layers.Dense(self.num_classes, name="out")(x)}}
