"""Stages of CSPDarknet53 and its variants: Bochkovskiy et al. 2020 (YOLOv4)."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.blocks.residual import Residual
from visiongarden.layers import Composite, ConvNormAct
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class CSPDarknetStage(Composite):
    """Stride-2 convolution, then residual units that part of the channels bypasses.

    Like `DarknetStage`, with a cross-stage-partial split (Wang et al. 2019, CSPNet, figure 3b): two
    1×1 convolutions split the channels, a 1×1 transition follows the units, and a 1×1 convolution
    merges both paths. Input: (batch, height, width, channels). Output: (batch, height / 2, width /
    2, filters).

    Args:
        filters: number of output channels.
        repeats: number of residual units.
        split: channels of each path: `filters` in the first stage of CSPDarknet53, half of
            `filters` in the others. The units always have `filters // 2` channels between their
            convolutions.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.CSPDarknetStage(8, repeats=1, split=4)(keras.Input((16, 16, 4))).shape
        (None, 8, 8, 8)
    """

    def __init__(
        self, filters: int, repeats: int, split: int, activation: str = "mish", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.down = ConvNormAct(filters, 3, strides=2, activation=activation)
        self.around = ConvNormAct(split, activation=activation)
        self.into = ConvNormAct(split, activation=activation)
        hidden = filters // 2
        self.units = [
            Residual(split, hidden / split, activation=activation) for _ in range(repeats)
        ]
        self.transition = ConvNormAct(split, activation=activation)
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Tensor) -> Tensor:
        """Halve height and width, split the channels, run the units, and merge both paths."""
        x = self.down(x)
        around = self.around(x)
        y = self.into(x)
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([self.transition(y), around]))


@register
class PartialDense(Composite):
    """Dense block of YOLOv4-tiny: three 3×3 convolutions, two of them on half of the channels.

    The second half of the first convolution's output passes two more 3×3 convolutions, whose
    outputs are merged by a 1×1 convolution; the output of the first convolution bypasses all of
    this (Wang et al. 2020, Scaled-YOLOv4, section 3.2, "CSPOSANet" with partial computation in one
    block). Input: (batch, height, width, channels). Output: (batch, height, width, 2 * filters),
    the bypass first, then the output of the 1×1 convolution.

    Args:
        filters: channels of the first 3×3 and of the 1×1 convolution.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.PartialDense(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 16)
    """

    def __init__(self, filters: int, activation: str = "leaky_relu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stem = ConvNormAct(filters, 3, activation=activation)
        self.conv1 = ConvNormAct(filters // 2, 3, activation=activation)
        self.conv2 = ConvNormAct(filters // 2, 3, activation=activation)
        self.dense = keras.layers.Concatenate()
        self.join = ConvNormAct(filters, activation=activation)
        self.concat = keras.layers.Concatenate()

    def call(self, x: Tensor) -> Tensor:
        """Run the convolutions on half of the channels, and concatenate with the bypass."""
        x = self.stem(x)
        first = self.conv1(x[..., x.shape[-1] // 2 :])
        second = self.conv2(first)
        return self.concat([x, self.join(self.dense([second, first]))])


@register
class ReversedCSP(Composite):
    """CSP block of a decoder: the split follows a 1×1 convolution that reduces the channels.

    Wang et al. 2020 (Scaled-YOLOv4), section 3.1, "CSP-ized PAN". Input: (batch, height, width,
    channels). Output: (batch, height, width, filters).

    Args:
        filters: channels of all convolutions.
        repeats: number of units, each a 1×1 and a 3×3 convolution without shortcut.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.ReversedCSP(8)(keras.Input((16, 16, 4))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self, filters: int, repeats: int = 2, activation: str = "mish", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.into = ConvNormAct(filters, activation=activation)
        self.around = ConvNormAct(filters, activation=activation)
        self.units = [
            Residual(filters, 1.0, shortcut=False, activation=activation) for _ in range(repeats)
        ]
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Tensor) -> Tensor:
        """Reduce the channels, run the units, and merge with the bypass."""
        x = self.into(x)
        around = self.around(x)
        y = x
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([y, around]))
