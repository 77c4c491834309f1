"""Efficient layer aggregation: ELAN (YOLOv7) and its generalization CSP-ELAN (YOLOv9)."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.blocks.csp import CrossStage
from visiongarden.blocks.rep_conv import RepConv
from visiongarden.layers import Composite, ConvNormAct, Sum
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class ELAN(Composite):
    """Efficient layer aggregation: a chain of 3×3 convolutions whose outputs are merged.

    Two 1×1 convolutions come first, and the chain starts from the second. YOLOv7 (Wang et al. 2022,
    arXiv 2207.02696), figure 2c, with the numbers of its official Darknet files. Backbone: four
    convolutions, every second output is merged. Decoder ("ELAN-H"): four convolutions of half the
    channels, all outputs are merged. YOLOv7-tiny: two convolutions, both outputs are merged. Input:
    (batch, height, width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        hidden: channels of each of the two 1×1 convolutions.
        inner: channels of each 3×3 convolution; None means `hidden`.
        depth: number of 3×3 convolutions.
        every: which outputs of the chain are merged: 1 for all, 2 for every second.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.ELAN(8, hidden=4)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
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

    def call(self, x: Tensor) -> Tensor:
        """Run the chain and merge its outputs, the last one first, as in the Darknet files."""
        y = self.into(x)
        joined = [self.around(x), y]
        for number, conv in enumerate(self.convs, start=1):
            y = conv(y)
            if number % self.every == 0:
                joined.append(y)
        return self.out(self.concat(joined[::-1]))


@register
class RepResidual(Composite):
    """Residual unit of YOLOv9's CSP blocks: a `RepConv`, a 3×3 convolution, and a shortcut.

    Args:
        filters: channels of input and output.
        activation: activation of both convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.RepResidual(8)(keras.Input((16, 16, 8))).shape
        (None, 16, 16, 8)
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rep = RepConv(filters, activation)
        self.conv = ConvNormAct(filters, 3, activation=activation)
        self.sum = Sum()

    def call(self, x: Tensor) -> Tensor:
        """Run both convolutions and add the input."""
        return self.sum([x, self.conv(self.rep(x))])


@register
class RepCSP(CrossStage):
    """CSP block of `RepResidual` units; half of the channels bypasses them.

    Input: (batch, height, width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        repeats: number of units.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.RepCSP(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self, filters: int, repeats: int = 1, activation: str = "silu", **kwargs: Any
    ) -> None:
        half = filters // 2
        units = [RepResidual(half, activation) for _ in range(repeats)]
        super().__init__(filters, half, units, activation, **kwargs)


@register
class CSPELAN(Composite):
    """ELAN whose units are a CSP block and a 3×3 convolution each: the block of GELAN.

    YOLOv9 (Wang et al. 2024, arXiv 2402.13616), figure 4c and appendix, table 1, which lists
    `filters`, `hidden` and `inner` of each block. With `repeats=0`, a unit is the 3×3 convolution
    alone, which is ELAN again, as in the first stage of the small models. Input: (batch, height,
    width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        hidden: channels of the first 1×1 convolution, whose output is split into two halves.
        inner: channels of each unit's output.
        repeats: number of units inside each CSP block.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.CSPELAN(8, hidden=8, inner=4)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
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

    def call(self, x: Tensor) -> Tensor:
        """Split the channels, run both units, and merge all outputs."""
        whole = self.split(x)
        parts = [whole]
        y = whole[..., whole.shape[-1] // 2 :]
        for number, conv in enumerate(self.convs):
            y = conv(self.csps[number](y) if self.csps else y)
            parts.append(y)
        return self.out(self.concat(parts))
