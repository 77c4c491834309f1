"""EfficientNet-Lite0: Tan & Le 2019 (arXiv 1905.11946), in the form for mobile devices."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from visiongarden.backbones.mobilenet_v2 import stem
from visiongarden.blocks import InvertedResidualStage
from visiongarden.layers import ConvNormAct
from visiongarden.parts import Backbone
from visiongarden.registry import register
from visiongarden.types import FeatureMaps, Tensor

_ROWS = (
    # expansion, channels, repeats, kernel size, stride of the first block, level after the row
    (1, 16, 1, 3, 1, "p1"),
    (6, 24, 2, 3, 2, "p2"),
    (6, 40, 2, 5, 2, "p3"),
    (6, 80, 3, 3, 2, ""),
    (6, 112, 3, 5, 1, "p4"),
    (6, 192, 4, 5, 2, ""),
    (6, 320, 1, 3, 1, "p5"),
)


@register
class EfficientNetLite0(Backbone):
    """EfficientNet-B0 without squeeze-and-excitation, and with ReLU6 in place of Swish.

    The changes make it exact in 8-bit arithmetic (README of the official code, tensorflow/tpu,
    efficientnet/lite).

    Attributes:
        top_channels: channels of the 1×1 convolution before the published classifier, 1280; p5 is
            then its output. None omits it.
        drop: probability that the last block is skipped in training, see `StochasticDepth`; it
            rises linearly from 0 at the first block. The official code trains with 0.2.
        asymmetric: whether a stride of 2 pads at the right and bottom only, as in the official
            weights.
        levels: any of p1 to p5.

    Example:
        >>> vg.backbones.EfficientNetLite0().spec()
        FeatureSpec(p3: 40 ch /8, p4: 112 ch /16, p5: 320 ch /32)
    """

    top_channels: Annotated[int, Field(gt=0)] | None = None
    drop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    asymmetric: bool = True

    def wire(self, images: Tensor) -> FeatureMaps:
        """Build one stage per row of the table."""
        norm: dict[str, Any] = {"activation": "relu6", "momentum": 0.99, "epsilon": 1e-3}
        x = stem(images, 32, self.asymmetric, norm)
        maps, channels, before = {}, 32, 0
        blocks = sum(repeats for _, _, repeats, *_ in _ROWS)
        for number, (expansion, filters, repeats, kernel, strides, level) in enumerate(_ROWS, 1):
            x = InvertedResidualStage(
                filters,
                channels,
                repeats,
                expansion,
                kernel,
                strides,
                tuple(self.drop * (before + i) / blocks for i in range(repeats)),
                asymmetric=self.asymmetric,
                name=f"stage{number}",
                **norm,
            )(x)
            channels, before = filters, before + repeats
            if level:
                maps[level] = x
        if self.top_channels is not None:
            maps["p5"] = ConvNormAct(self.top_channels, name="top", **norm)(x)
        return maps
