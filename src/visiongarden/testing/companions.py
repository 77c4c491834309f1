"""Small parts that complete a part under test to a model, which is saved and reopened."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.decoders import PassOn
from visiongarden.models.joined import Joined
from visiongarden.parts import Backbone, Decoder, Head, Part
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, FeatureSpec, ImageSize, RawPredictions, stride_of


@register(package="visiongarden_check")
class CheckBackbone(Backbone):
    """Maps of any strides and channels, each by one convolution of the pooled image.

    Attributes:
        channels: level -> channels.
    """

    channels: dict[str, int]

    def wire(self, images: Any) -> FeatureMaps:
        """Pools to each stride, and mixes the colors."""
        maps: FeatureMaps = {}
        for level, channels in self.channels.items():
            stride = stride_of(level)
            x = keras.layers.AveragePooling2D(stride, name=f"{level}_pool")(images)
            maps[level] = keras.layers.Conv2D(channels, 1, name=f"{level}_mix")(x)
        return maps


@register(package="visiongarden_check")
class CheckHead(Head):
    """One convolution on each level."""

    def wire(self, features: FeatureMaps) -> RawPredictions:
        """Class scores of each cell."""
        return {
            level: {"classes": keras.layers.Conv2D(self.num_classes, 1, name=f"{level}_out")(x)}
            for level, x in features.items()
        }


def connected(part: Part, features: FeatureSpec, size: ImageSize | None) -> keras.Model | None:
    """A model with the part in it; None where no class of models has the head's task.

    Args:
        part: a backbone, decoder or head.
        features: what comes into it.
        size: (height, width) of the model's images; None leaves both open.
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
    models = {kind.task: kind for kind in Joined.__subclasses__() if kind.task}
    if head.task not in models:
        return None
    given = decoder or PassOn(levels=backbone.levels)
    model: keras.Model = models[head.task](
        backbone=backbone, decoder=given, head=head, image_size=size
    )
    return model
