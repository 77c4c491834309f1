"""Feature pyramid network: Lin et al. 2016 (arXiv 1612.03144), figure 3."""

from __future__ import annotations

from typing import Annotated, Literal

import keras
from pydantic import Field

from visiongarden.layers import Convolution, MaxPooling, Sum, Upsampling
from visiongarden.parts import Decoder
from visiongarden.parts.fields import Channels
from visiongarden.parts.roles import Levels
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor, stride_of


@register
class FPN(Decoder):
    """Feature pyramid network: top-down sums of 1×1 lateral convolutions, then a 3×3 per level.

    Each level is its lateral convolution plus the upsampled coarser level. Convolutions have a bias
    and no activation, as in the paper. Coarser levels than those of the backbone can be added: with
    `extra_levels=2`, RetinaNet's p6 and p7 (Lin et al. 2017, arXiv 1708.02002, section 4: a
    strided 3×3 convolution each, with a ReLU between them).

    Attributes:
        channels: channels of all levels.
        levels: consecutive levels of the backbone.
        extra_levels: number of coarser levels that are added.
        extra_levels_from: whether the first of them is made from the coarsest "output" of the
            decoder or from its "input", the map of the backbone, as in the paper of RetinaNet.
        extra_levels_by: strided "convolution", or "max_pooling" of every second cell, which adds no
            weights (the p6 of the feature pyramid paper, section 4.1).

    Example:
        >>> backbone = vg.backbones.CSPDarknet()
        >>> vg.decoders.FPN(channels=32).spec(backbone.spec())
        FeatureSpec(p3: 32 ch /8, p4: 32 ch /16, p5: 32 ch /32)
        >>> list(vg.decoders.FPN(channels=32, extra_levels=2).spec(backbone.spec()))
        ['p3', 'p4', 'p5', 'p6', 'p7']
    """

    channels: Channels = 256
    extra_levels: Annotated[int, Field(ge=0, le=4)] = 0
    extra_levels_from: Literal["input", "output"] = "output"
    extra_levels_by: Literal["convolution", "max_pooling"] = "convolution"

    @property
    def output_levels(self) -> Levels:
        """Levels that the decoder returns: those of the backbone, and those that are added."""
        coarsest = stride_of(self.levels[-1]).bit_length() - 1
        return (
            *self.levels,
            *(f"p{coarsest + number}" for number in range(1, self.extra_levels + 1)),
        )

    def wire(self, features: FeatureMaps) -> FeatureMaps:
        """Build the levels from the coarsest to the finest, then those that are added."""
        outputs: FeatureMaps = {}
        parent = None
        for level in reversed(self.levels):
            x = Convolution(self.channels, 1, name=f"lateral_{level}")(features[level])
            if parent is not None:
                up = Upsampling(2, name=f"up_{level}")(parent)
                x = Sum(name=f"sum_{level}")([x, up])
            parent = x
            outputs[level] = Convolution(self.channels, 3, name=f"out_{level}")(x)
        coarsest = self.levels[-1]
        x = outputs[coarsest] if self.extra_levels_from == "output" else features[coarsest]
        for number, level in enumerate(self.output_levels[len(self.levels) :]):
            x = outputs[level] = self._halved(x, level, first=not number)
        return {level: outputs[level] for level in self.output_levels}

    def _halved(self, x: Tensor, level: str, first: bool) -> Tensor:
        if self.extra_levels_by == "max_pooling":
            if x.shape[-1] != self.channels:
                x = Convolution(self.channels, 1, name=f"out_{level}")(x)
            return MaxPooling(1, strides=2, name=f"pool_{level}")(x)
        if not first:
            x = keras.layers.ReLU(name=f"relu_{level}")(x)
        return Convolution(self.channels, 3, strides=2, name=f"out_{level}")(x)
