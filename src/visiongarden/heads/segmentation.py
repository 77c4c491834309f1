"""Segmentation head: logits per cell, upsampled to the image size."""

from __future__ import annotations

from typing import Annotated, ClassVar

import keras
from pydantic import Field

from visiongarden.layers import Convolution
from visiongarden.losses import Loss, SegmentationLoss
from visiongarden.parts import Head
from visiongarden.postprocess import Decoding, SoftmaxDecoding
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, RawPredictions, stride_of


@register
class Segmentation(Head):
    """Segmentation head: a 1×1 convolution on the finest map, and bilinear upsampling.

    Long et al. 2015, section 4.

    Attributes:
        num_classes: number of classes, including background if the data has such a class.
        dropout: rate of the spatial dropout before the convolution.
        levels: the finest one is used; None accepts all levels of the decoder.
        loss: loss of the raw predictions.
        decoding: decoding from logits to scores.

    Example:
        >>> features = vg.backbones.CSPDarknet().spec()
        >>> vg.heads.Segmentation(num_classes=3).shapes(features, image_size=(64, 64))
        {'p3': {'classes': (None, 64, 64, 3)}}
    """

    task: ClassVar[str] = "segmentation"
    # With one class every prediction is correct, and the mask value 255 marks ignored pixels.
    num_classes: Annotated[int, Field(gt=1, le=255)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    loss: Loss = SegmentationLoss()
    decoding: Decoding = SoftmaxDecoding()

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Build the logits at image size.

        Returns:
            {level: {"classes": (batch, height, width, num_classes)}}.
        """
        level, x = next(iter(features.items()))
        if self.dropout:
            x = keras.layers.SpatialDropout2D(self.dropout, name="dropout")(x)
        x = Convolution(self.num_classes, 1, name="out")(x)
        if stride_of(level) > 1:  # noqa: VG202 (the name of a level, no tensor)
            x = keras.layers.UpSampling2D(stride_of(level), interpolation="bilinear", name="up")(x)
        return {level: {"classes": x}}
