"""Cross-stage-partial blocks: part of the channels bypasses the units (Wang et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from visiongarden.blocks.residual import Residual
from visiongarden.layers import Composite, ConvNormAct
from visiongarden.registry import register
from visiongarden.types import Tensor


class CrossStage(Composite):
    """Base class of CSP blocks: half of the channels passes the units, the others bypass them.

    After CSPNet (Wang et al. 2019, figure 2b), in the form with two 1×1 convolutions that split the
    channels; a third one merges them. Subclasses choose the units.

    Args:
        filters: number of output channels.
        hidden: channels of each half.
        units: layers that run one after the other and keep `hidden` channels.
        activation: activation of the 1×1 convolutions.
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

    def call(self, x: Tensor) -> Tensor:
        """Split the channels, run the units on one half, and merge both halves."""
        y = self.into(x)
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([y, self.around(x)]))


@register
class CSP(CrossStage):
    """CSP block of residual units; half of the channels bypasses them.

    With a 1×1 and a 3×3 convolution per unit, this is "C3" in YOLOv5's published diagrams and the
    CSP layer in YOLOX's; with two 3×3 convolutions it is "C3k" of YOLO11. Input: (batch, height,
    width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        repeats: number of residual units.
        shortcut: whether the units add their input.
        activation: activation of all convolutions.
        kernel_sizes: kernel sizes of the two convolutions of a unit.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.CSP(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
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
    """Base class of split blocks: the outputs of all units are concatenated and merged.

    A CSP block with the aggregation of ELAN (Wang et al. 2022). A 1×1 convolution creates two
    halves, the units run one after the other on the second half, and both halves and the outputs of
    all units are concatenated, (2 + units) * hidden channels in all. A 1×1 convolution merges them.
    Subclasses choose the units.

    Args:
        filters: number of output channels.
        hidden: channels of each half.
        units: layers that run one after the other and keep `hidden` channels.
        activation: activation of the 1×1 convolutions.
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

    def call(self, x: Tensor) -> Tensor:
        """Split the channels, run the units, and merge all outputs."""
        parts = list(ops.split(self.split(x), 2, axis=-1))
        y = parts[-1]
        for unit in self.units:
            y = unit(y)
            parts.append(y)
        return self.out(self.concat(parts))


@register
class C2f(Aggregation):
    """Split block of YOLOv8's published architecture table, with residual units.

    Input: (batch, height, width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        repeats: number of residual units, each of two 3×3 convolutions.
        shortcut: whether the units add their input.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.C2f(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
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
    """Split block of YOLO11's published table: a C2f block with smaller or nested units.

    Input: (batch, height, width, channels). Output: (batch, height, width, filters).

    Args:
        filters: number of output channels.
        repeats: number of units.
        nested: if True, each unit is a CSP block of two residual units; else a residual unit that
            halves the channels between its two 3×3 convolutions.
        expansion: channels of each half as a fraction of `filters`.
        shortcut: whether the units add their input.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.C3k2(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
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
