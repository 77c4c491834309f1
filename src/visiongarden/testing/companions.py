"""Small parts that complete a part under test to a whole model, which can be saved and reopened."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.decoders import PassOn
from visiongarden.parts import Backbone, Decoder, Head, Part
from visiongarden.registry import register
from visiongarden.testing.targets import task_of_head
from visiongarden.types import FeatureMaps, FeatureSpec, ImageSize, RawPredictions, stride_of


@register(package="visiongarden_check")
class CheckBackbone(Backbone):
    """Minimal backbone with feature maps of any strides and channel counts.

    Each feature map is the average-pooled image after one 1x1 convolution.

    Attributes:
        channels: Number of channels by level.
    """

    channels: dict[str, int]

    def wire(self, images: Any) -> FeatureMaps:
        """Pool the image to the stride of each level and apply a 1x1 convolution."""
        maps: FeatureMaps = {}
        for level, channels in self.channels.items():
            stride = stride_of(level)
            x = keras.layers.AveragePooling2D(stride, name=f"{level}_pool")(images)
            maps[level] = keras.layers.Conv2D(channels, 1, name=f"{level}_mix")(x)
        return maps


@register(package="visiongarden_check")
class CheckHead(Head):
    """Minimal head with one 1x1 convolution per level.

    Attributes:
        num_classes: Number of classes.
    """

    num_classes: int

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Predict a class score for each cell of each level."""
        return {
            level: {"classes": keras.layers.Conv2D(self.num_classes, 1, name=f"{level}_out")(x)}
            for level, x in features.items()
        }


def connected(part: Part, features: FeatureSpec, size: ImageSize | None) -> keras.Model | None:
    """Build a model around a part.

    Args:
        part: Backbone, decoder or head.
        features: Specification of the feature maps, or of the image, that the part receives.
        size: (height, width) of the model's images in pixels; None leaves both open.

    Returns:
        The model, or None if the task of the head is not registered.
    """
    before = CheckBackbone(
        levels=tuple(features), channels={level: s.channels for level, s in features.items()}
    )
    head: Head = CheckHead(num_classes=2)
    backbone: Backbone = before
    decoder: Decoder | None = None
    if isinstance(part, Backbone):
        backbone = part
    elif isinstance(part, Decoder):
        decoder = part
    elif isinstance(part, Head):
        head = part
    task = task_of_head(head)
    if task is None:
        return None
    given = decoder or PassOn(levels=backbone.levels)
    kind: Any = task.model
    arguments = kind.head_arguments(head) | {"decoder": given}
    model: keras.Model = kind(backbone=backbone, image_size=size, **arguments)
    return model
