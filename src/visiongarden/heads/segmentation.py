"""The segmentation head: logits for each cell, brought to the size of the image."""

from __future__ import annotations

from typing import Annotated, ClassVar

import keras
from pydantic import Field, NonNegativeFloat

from visiongarden.layers import Convolution
from visiongarden.losses import SegmentationLoss
from visiongarden.parts import Head
from visiongarden.postprocess import SoftmaxDecode
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions, stride_of


@register
class Segmentation(Head):
    """A 1×1 convolution on the finest map, and bilinear scaling (Long et al. 2015, section 4).

    Attributes:
        num_classes: number of classes, background among them where the data names one.
        dropout: share of the map's channels that a training step leaves out.
        dice_gain: weight of the Dice loss beside the cross-entropy; 0 leaves it out.
        levels: the finest is used; None takes that of what it is offered.
    """

    task: ClassVar[str] = "segmentation"
    # One class would be right everywhere, and 255 marks what is ignored.
    num_classes: Annotated[int, Field(gt=1, le=255)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    dice_gain: NonNegativeFloat = 0.0

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """{level: {"classes": (batch, height, width, classes)}}, logits at the image's size."""
        level, x = next(iter(features.items()))
        if self.dropout:
            x = keras.layers.SpatialDropout2D(self.dropout, name="dropout")(x)
        x = Convolution(self.num_classes, 1, name="out")(x)
        if stride_of(level) > 1:  # noqa: VG202 (the name of a level, no tensor)
            x = keras.layers.UpSampling2D(stride_of(level), interpolation="bilinear", name="up")(x)
        return {level: {"classes": x}}

    def loss(self) -> SegmentationLoss:
        """Softmax cross-entropy of each pixel, and Dice where it has a gain."""
        return SegmentationLoss(num_classes=self.num_classes, dice_gain=self.dice_gain)

    def decode(self) -> SoftmaxDecode:
        """Logits to scores."""
        return SoftmaxDecode()
