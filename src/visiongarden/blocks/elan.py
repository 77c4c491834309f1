"""Efficient layer aggregation: ELAN (YOLOv7) and its generalisation CSP-ELAN (YOLOv9)."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.blocks.csp import CrossStage
from visiongarden.blocks.rep_conv import RepConv
from visiongarden.layers import Composite, ConvNormAct, Sum
from visiongarden.registry import register


@register
class ELAN(Composite):
    """Two 1×1 convolutions; 3×3 convolutions follow the second; chosen outputs are joined.

    YOLOv7 (Wang et al. 2022, arXiv 2207.02696), figure 2c; the numbers are those of its official
    Darknet files. Backbone: four convolutions, every second joins. Decoder ("ELAN-H"): four, each
    of half the channels, all join. YOLOv7-tiny: two, both join.

    Args:
        filters: channels of the output.
        hidden: channels of each 1×1 convolution.
        inner: channels of each 3×3 convolution; None is `hidden`.
        depth: number of 3×3 convolutions.
        every: which of them join: 1 all, 2 every second.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        hidden: int,
        inner: int | None = None,
        depth: int = 4,
        every: int = 2,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.every = every
        self.around = ConvNormAct(hidden, activation=activation)
        self.into = ConvNormAct(hidden, activation=activation)
        self.convs = [ConvNormAct(inner or hidden, 3, activation=activation) for _ in range(depth)]
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Runs the chain and joins, the last output first, as in the Darknet files."""
        y = self.into(x)
        joined = [self.around(x), y]
        for number, conv in enumerate(self.convs, start=1):
            y = conv(y)
            if number % self.every == 0:
                joined.append(y)
        return self.out(self.concat(joined[::-1]))


@register
class RepResidual(Composite):
    """The residual unit of YOLOv9's CSP blocks: a `RepConv`, a 3×3 convolution, the input added.

    Args:
        filters: channels of input and output.
        activation: of both.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rep = RepConv(filters, activation)
        self.conv = ConvNormAct(filters, 3, activation=activation)
        self.sum = Sum()

    def call(self, x: Any) -> Any:
        """Runs both and adds the input."""
        return self.sum([x, self.conv(self.rep(x))])


@register
class RepCSP(CrossStage):
    """CSP block of `RepResidual` units; half of the channels goes around them.

    Args:
        filters: channels of the output.
        repeats: number of units.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, filters: int, repeats: int = 1, activation: str = "silu", **kwargs: Any
    ) -> None:
        half = filters // 2
        units = [RepResidual(half, activation) for _ in range(repeats)]
        super().__init__(filters, half, units, activation, **kwargs)


@register
class CSPELAN(Composite):
    """ELAN of which each unit is a CSP block and a 3×3 convolution: the block of GELAN.

    YOLOv9 (Wang et al. 2024, arXiv 2402.13616), figure 4c and appendix, table 1, which lists
    `filters`, `hidden` and `inner` of each. With `repeats=0` a unit is the 3×3 convolution alone,
    which is ELAN again, as the small models begin.

    Args:
        filters: channels of the output.
        hidden: channels of the 1×1 convolution that is split into two halves.
        inner: channels of each unit's output.
        repeats: units inside each CSP block.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        hidden: int,
        inner: int,
        repeats: int = 1,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.split = ConvNormAct(hidden, activation=activation)
        self.csps = [RepCSP(inner, repeats, activation) for _ in range(2 if repeats else 0)]
        self.convs = [ConvNormAct(inner, 3, activation=activation) for _ in range(2)]
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Splits, runs both units one after the other, joins all."""
        whole = self.split(x)
        parts = [whole]
        y = whole[..., whole.shape[-1] // 2 :]
        for number, conv in enumerate(self.convs):
            y = conv(self.csps[number](y) if self.csps else y)
            parts.append(y)
        return self.out(self.concat(parts))
