"""The decoder of YOLOv3: Redmon & Farhadi 2018 (arXiv 1804.02767), section 2.3."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.layers import Composite, ConvNormAct
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, stride_of


@register
class FiveConvolutions(Composite):
    """1×1 and 3×3 convolutions in turn, five in all; the 3×3 have twice the channels.

    Args:
        filters: channels of the output.
        activation: of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "leaky_relu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convs = [
            ConvNormAct(filters * (1 + i % 2), 1 + 2 * (i % 2), activation=activation)
            for i in range(5)
        ]

    def call(self, x: Any) -> Any:
        """Runs the five."""
        for conv in self.convs:
            x = conv(x)
        return x


@register
class YOLOv3Decoder(Decoder):
    """Five convolutions a level; a finer level sees its parent through a 1×1 and an upsampling.

    Attributes:
        width: factor on the channels given on; 1.0 is the paper's, 16 a pixel of stride: p3 128,
            p4 256, p5 512.
        activation: the paper's is leaky ReLU of slope 0.1.
        levels: any that follow each other.
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """From the coarsest level to the finest."""
        outputs: FeatureMaps = {}
        parent = None
        for level in reversed(self.levels):
            filters = int(16 * stride_of(level) * self.width)
            x = features[level]
            if parent is not None:
                up = ConvNormAct(filters, activation=self.activation, name=f"lateral_{level}")
                parent = keras.layers.UpSampling2D(2, name=f"up_{level}")(up(parent))
                x = keras.layers.Concatenate(name=f"join_{level}")([parent, x])
            block = FiveConvolutions(filters, self.activation, name=f"block_{level}")
            parent = outputs[level] = block(x)
        return {level: outputs[level] for level in self.levels}
