"""Darknet-53: Redmon & Farhadi 2018, YOLOv3 (arXiv 1804.02767), table 1."""

from __future__ import annotations

from typing import Any

from visiongarden.blocks import DarknetStage
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps


@register
class Darknet53(Backbone):
    """53 convolutions less the classifier: a stem and five residual stages, 1-2-8-8-4 units.

    Attributes:
        width: factor on all channels; 1.0 is the paper's network, with 64 to 1024 channels.
        activation: the paper's is leaky ReLU of slope 0.1.
        levels: any of p1 to p5.
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"

    def wire(self, images: Any) -> FeatureMaps:
        """Table 1 of the paper, row by row."""
        x = ConvNormAct(int(32 * self.width), 3, activation=self.activation, name="stem")(images)
        maps = {}
        for number, (filters, repeats) in enumerate(
            ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)), start=1
        ):
            stage = DarknetStage(
                int(filters * self.width), repeats, self.activation, name=f"stage{number}"
            )
            x = maps[f"p{number}"] = stage(x)
        return maps
