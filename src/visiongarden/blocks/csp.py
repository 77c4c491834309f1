"""Cross-stage-partial blocks: part of the channels goes around the units (Wang et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from visiongarden.blocks.residual import Residual
from visiongarden.layers import Composite, ConvNormAct
from visiongarden.registry import register


class CrossStage(Composite):
    """Base: one half passes the units, the other goes around them, a 1×1 convolution joins.

    After CSPNet (Wang et al. 2019, figure 2b), in the form with two 1×1 convolutions that split.
    Subclasses choose the units.

    Args:
        filters: channels of the output.
        hidden: channels of each half.
        units: run one after the other; channels stay `hidden`.
        activation: of the 1×1 convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        hidden: int,
        units: Sequence[keras.Layer],
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.around = ConvNormAct(hidden, activation=activation)
        self.into = ConvNormAct(hidden, activation=activation)
        self.units = list(units)
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Splits, runs the units on one half, joins."""
        y = self.into(x)
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([y, self.around(x)]))


@register
class CSP(CrossStage):
    """CSP block of residual units; half of the channels goes around them.

    With 1×1 and 3×3 in a unit it is the "C3" of YOLOv5's and the CSP layer of YOLOX's published
    diagrams, with two 3×3 the "C3k" of YOLO11's. Input (batch, height, width, any); output (batch,
    height, width, filters).

    Args:
        filters: channels of the output.
        repeats: number of residual units.
        shortcut: whether the units add their input.
        activation: of every convolution.
        kernel_sizes: of the two convolutions of a unit.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        repeats: int = 1,
        shortcut: bool = True,
        activation: str = "silu",
        kernel_sizes: tuple[int, int] = (1, 3),
        **kwargs: Any,
    ) -> None:
        half = filters // 2
        units = [Residual(half, 1.0, kernel_sizes, shortcut, activation) for _ in range(repeats)]
        super().__init__(filters, half, units, activation, **kwargs)


class Aggregation(Composite):
    """Base: a 1×1 convolution makes two halves; every unit's output reaches the joining 1×1.

    A CSP block with ELAN's aggregation (Wang et al. 2022): the units follow each other on the
    second half, and both halves and all units' outputs are concatenated: (2 + units) * hidden
    channels. Subclasses choose the units.

    Args:
        filters: channels of the output.
        hidden: channels of each half.
        units: run one after the other; channels stay `hidden`.
        activation: of the 1×1 convolutions.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        hidden: int,
        units: Sequence[keras.Layer],
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.split = ConvNormAct(2 * hidden, activation=activation)
        self.units = list(units)
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Splits, runs the units one after the other, joins all."""
        parts = list(ops.split(self.split(x), 2, axis=-1))
        y = parts[-1]
        for unit in self.units:
            y = unit(y)
            parts.append(y)
        return self.out(self.concat(parts))


@register
class C2f(Aggregation):
    """Split block of YOLOv8's published architecture table: residual units, all outputs joined.

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
        half = filters // 2
        units = [Residual(half, 1.0, (3, 3), shortcut, activation) for _ in range(repeats)]
        super().__init__(filters, half, units, activation, **kwargs)


@register
class C3k2(Aggregation):
    """The split block of YOLO11's published table: a C2f of which the units are smaller or deeper.

    Args:
        filters: channels of the output.
        repeats: number of units.
        nested: units are CSP blocks of two residual units each; else they are residual units that
            halve the channels between their two 3×3 convolutions.
        expansion: channels of a half, as a share of `filters`.
        shortcut: whether the units add their input.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self,
        filters: int,
        repeats: int = 1,
        nested: bool = False,
        expansion: float = 0.5,
        shortcut: bool = True,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        hidden = int(filters * expansion)
        units: list[keras.Layer] = [
            CSP(hidden, 2, shortcut, activation, (3, 3))
            if nested
            else Residual(hidden, 0.5, (3, 3), shortcut, activation)
            for _ in range(repeats)
        ]
        super().__init__(filters, hidden, units, activation, **kwargs)
