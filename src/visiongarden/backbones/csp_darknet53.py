"""CSPDarknet53: Bochkovskiy et al. 2020 (YOLOv4, arXiv 2004.10934), section 3.4."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from visiongarden.blocks import CSPDarknetStage, DarknetStage
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class CSPDarknet53(Backbone):
    """Darknet-53 with cross-stage-partial stages of 1-2-8-8-4 units: the backbone of YOLOv4.

    Attributes:
        width: factor on all channels; 1.0 is the paper's network, with 64 to 1024 channels.
        plain_stages: number of stages at the start that are plain residual stages: 0 in YOLOv4, 1
            in YOLOv4-CSP (Wang et al. 2020, Scaled-YOLOv4, section 3.1).
        activation: activation of all convolutions; mish in the paper.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.CSPDarknet53(width=0.25).spec()
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    width: Multiplier = 1.0
    plain_stages: Annotated[int, Field(ge=0, le=5)] = 0
    activation: str = "mish"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the stages, one per row of Darknet-53's table."""
        act = self.activation
        x = ConvNormAct(int(32 * self.width), 3, activation=act, name="stem")(images)
        maps = {}
        for number, (channels, repeats) in enumerate(
            ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)), start=1
        ):
            filters, name = int(channels * self.width), f"stage{number}"
            # The first stage has too few channels to split: both of its paths have all of them.
            split = filters if number == 1 else filters // 2
            if number <= self.plain_stages:
                x = DarknetStage(filters, repeats, act, name=name)(x)
            else:
                x = CSPDarknetStage(filters, repeats, split, act, name=name)(x)
            maps[f"p{number}"] = x
        return maps
