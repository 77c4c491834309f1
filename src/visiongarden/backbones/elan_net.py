"""Backbones of YOLOv7 and YOLOv7-tiny: Wang et al. 2022 (arXiv 2207.02696)."""

from __future__ import annotations

from visiongarden.blocks import ELAN, MPDown
from visiongarden.layers import ConvNormAct, MaxPooling
from visiongarden.parts import Backbone
from visiongarden.parts.fields import Multiplier
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor


@register
class ELANNet(Backbone):
    """YOLOv7's backbone: four ELAN stages with `MPDown` in between (official cfg file).

    Attributes:
        width: factor on all channels; 1.0 is the paper's network, with 256 to 1024 per stage.
        activation: activation of all convolutions.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.ELANNet(width=0.25).spec()
        FeatureSpec(p3: 128 ch /8, p4: 256 ch /16, p5: 256 ch /32)
    """

    width: Multiplier = 1.0
    activation: str = "silu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the four convolutions of the stem, then the stages: (output, hidden) channels."""
        act = self.activation
        x = images
        maps = {}
        for number, (channels, strides) in enumerate(((32, 1), (64, 2), (64, 1), (128, 2)), 1):
            conv = ConvNormAct(
                self._channels(channels), 3, strides, activation=act, name=f"stem{number}"
            )
            x = conv(x)
            if number == 3:
                maps["p1"] = x
        for number, (channels, hidden) in enumerate(
            ((256, 64), (512, 128), (1024, 256), (1024, 256)), start=2
        ):
            if number > 2:
                x = MPDown(x.shape[-1], activation=act, name=f"down{number}")(x)
            filters, inner = self._channels(channels), self._channels(hidden)
            x = ELAN(filters, inner, activation=act, name=f"stage{number}")(x)
            maps[f"p{number}"] = x
        return maps

    def _channels(self, channels: int) -> int:
        return max(2, round(channels * self.width / 2) * 2)


@register
class ELANNetTiny(Backbone):
    """YOLOv7-tiny's backbone: four short ELAN stages with max pooling in between (cfg file).

    Attributes:
        width: factor on all channels; 1.0 is the paper's network, with 64 to 512 per stage.
        activation: activation of all convolutions; leaky ReLU of slope 0.1 in the cfg file, while
            the paper has a "SiLU" variant as well.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.ELANNetTiny(width=0.5).spec()
        FeatureSpec(p3: 64 ch /8, p4: 128 ch /16, p5: 256 ch /32)
    """

    width: Multiplier = 1.0
    activation: str = "leaky_relu"

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build the two convolutions of the stem, then the stages by their output channels."""
        act = self.activation
        x = ConvNormAct(self._channels(32), 3, 2, activation=act, name="stem1")(images)
        maps = {"p1": x}
        x = ConvNormAct(self._channels(64), 3, 2, activation=act, name="stem2")(x)
        for number, channels in enumerate((64, 128, 256, 512), start=2):
            if number > 2:
                x = MaxPooling(2, name=f"down{number}")(x)
            filters = self._channels(channels)
            x = maps[f"p{number}"] = ELAN(
                filters, filters // 2, depth=2, every=1, activation=act, name=f"stage{number}"
            )(x)
        return maps

    def _channels(self, channels: int) -> int:
        return max(2, round(channels * self.width / 2) * 2)
