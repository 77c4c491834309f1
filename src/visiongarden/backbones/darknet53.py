"""Darknet-53: Redmon & Farhadi 2018, YOLOv3 (arXiv 1804.02767), table 1."""

from __future__ import annotations

from visiongarden.blocks import DarknetStage
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class Darknet53(Backbone):
    """Darknet-53 without its classifier: a stem and five residual stages of 1-2-8-8-4 units.

    Attributes:
        width: factor on all channels; 1.0 is the paper's network, with 64 to 1024 channels.
        activation: activation of all convolutions; leaky ReLU of slope 0.1 in the paper.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.Darknet53(width=0.25).spec()
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages, one per row of table 1 of the paper."""
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
