"""Cross-stage-partial blocks: part of the channels goes around the units (Wang et al. 2019)."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.blocks.residual import Residual
from visiongarden.layers import Composite, ConvNormAct
from visiongarden.registry import register


@register
class CSP(Composite):
    """CSP block: one half passes the units, the other goes around them, a 1×1 convolution joins.

    After CSPNet (Wang et al. 2019, figure 2b), in the form with two 1×1 convolutions that split.
    Input (batch, height, width, any); output (batch, height, width, filters).

    Args:
        filters: channels of the output.
        repeats: number of residual units.
        shortcut: whether the units add their input.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        repeats: int = 1,
        shortcut: bool = True,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        half = filters // 2
        self.around = ConvNormAct(half, activation=activation)
        self.into = ConvNormAct(half, activation=activation)
        self.units = [
            Residual(half, expansion=1.0, shortcut=shortcut, activation=activation)
            for _ in range(repeats)
        ]
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Splits, runs the units on one half, joins."""
        y = self.into(x)
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([y, self.around(x)]))


@register
class C2f(Composite):
    """Split block of which every unit's output reaches the joining convolution.

    The block of YOLOv8's published architecture table, a CSP block with ELAN's aggregation (Wang
    et al. 2022): a 1×1 convolution makes two halves, the units follow each other on the second, and
    both halves and all units' outputs are concatenated: (2 + repeats) * filters / 2 channels.

    Args:
        filters: channels of the output.
        repeats: number of residual units with two 3×3 convolutions.
        shortcut: whether the units add their input.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        repeats: int = 1,
        shortcut: bool = True,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        half = filters // 2
        self.split = ConvNormAct(2 * half, activation=activation)
        self.units = [
            Residual(half, 1.0, (3, 3), shortcut=shortcut, activation=activation)
            for _ in range(repeats)
        ]
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Splits, runs the units one after the other, joins all."""
        whole = self.split(x)
        half = whole.shape[-1] // 2
        parts = [whole]
        y = whole[..., half:]
        for unit in self.units:
            y = unit(y)
            parts.append(y)
        return self.out(self.concat(parts))
