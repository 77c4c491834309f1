"""The stages of CSPDarknet53 and of its tiny kin: Bochkovskiy et al. 2020 (YOLOv4)."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.blocks.residual import Residual
from visiongarden.layers import Composite, ConvNormAct
from visiongarden.registry import register


@register
class CSPDarknetStage(Composite):
    """A stride-2 convolution, then residual units that part of the channels goes around.

    As `DarknetStage` with a cross-stage-partial split (Wang et al. 2019, CSPNet, figure 3b): two
    1×1 convolutions split, a 1×1 transition follows the units, a 1×1 joins. Input (batch, height,
    width, any); output (batch, height / 2, width / 2, filters).

    Args:
        filters: channels of the output.
        repeats: number of residual units.
        split: channels on either way; `filters` in the first stage of CSPDarknet53, half of them in
            the others. The units have half of `filters` between their convolutions in all.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
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

    def call(self, x: Any) -> Any:
        """Halves height and width, splits, runs the units on one way, joins."""
        x = self.down(x)
        around = self.around(x)
        y = self.into(x)
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([self.transition(y), around]))


@register
class PartialDense(Composite):
    """Three convolutions of which half of the channels are passed on densely (YOLOv4-tiny).

    A 3×3 makes the channels; their second half goes through two 3×3, whose outputs are joined by a
    1×1; what the first 3×3 made goes around all that (Wang et al. 2020, Scaled-YOLOv4, section 3.2,
    "CSPOSANet" with partial computation in one block). Input (batch, height, width, any); output
    (batch, height, width, 2 * filters): first what went around, then what the 1×1 made.

    Args:
        filters: channels of the first 3×3 and of the 1×1.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "leaky_relu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stem = ConvNormAct(filters, 3, activation=activation)
        self.conv1 = ConvNormAct(filters // 2, 3, activation=activation)
        self.conv2 = ConvNormAct(filters // 2, 3, activation=activation)
        self.dense = keras.layers.Concatenate()
        self.join = ConvNormAct(filters, activation=activation)
        self.concat = keras.layers.Concatenate()

    def call(self, x: Any) -> Any:
        """Runs the convolutions on half of the channels and joins."""
        x = self.stem(x)
        first = self.conv1(x[..., x.shape[-1] // 2 :])
        second = self.conv2(first)
        return self.concat([x, self.join(self.dense([second, first]))])


@register
class ReversedCSP(Composite):
    """CSP block of a decoder: a 1×1 narrows first, then one copy goes around the units.

    Wang et al. 2020 (Scaled-YOLOv4), section 3.1, "CSP-ized PAN". Input (batch, height, width,
    any); output (batch, height, width, filters).

    Args:
        filters: channels of every convolution.
        repeats: number of units, a 1×1 and a 3×3 each, without shortcut.
        activation: of every convolution.
        **kwargs: `name`, `dtype`, `trainable`.
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

    def call(self, x: Any) -> Any:
        """Narrows, runs the units, joins."""
        x = self.into(x)
        around = self.around(x)
        y = x
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([y, around]))
