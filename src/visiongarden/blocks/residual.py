"""Residual units of Darknet and ResNet, and the stages that repeat them."""

from __future__ import annotations

from typing import Any

from visiongarden.layers import Composite, ConvNormAct, Sum
from visiongarden.layers import activation as activation_layer
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class Residual(Composite):
    """Residual unit: two convolutions and a shortcut.

    With `kernel_sizes=(1, 3)` and `expansion=0.5` it is the unit of Darknet-53 (Redmon & Farhadi
    2018, YOLOv3, table 1). Input and output: (batch, height, width, filters).

    Args:
        filters: channels of input and output.
        expansion: channels between the two convolutions as a fraction of `filters`.
        kernel_sizes: kernel sizes of the two convolutions.
        shortcut: whether to add the input; without it, the input may have other channels.
        activation: activation of both convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.Residual(8)(keras.Input((16, 16, 8))).shape
        (None, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        expansion: float = 0.5,
        kernel_sizes: tuple[int, int] = (1, 3),
        shortcut: bool = True,
        activation: str = "silu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        hidden = int(filters * expansion)
        self.conv1 = ConvNormAct(hidden, kernel_sizes[0], activation=activation)
        self.conv2 = ConvNormAct(filters, kernel_sizes[1], activation=activation)
        self.sum = Sum() if shortcut else None

    def call(self, x: Tensor) -> Tensor:
        """Run both convolutions and add the input."""
        y = self.conv2(self.conv1(x))
        return y if self.sum is None else self.sum([x, y])


@register
class DarknetStage(Composite):
    """Stride-2 convolution, then residual units (Darknet-53; YOLOv3, table 1).

    Input: (batch, height, width, channels). Output: (batch, height / 2, width / 2, filters).

    Args:
        filters: number of output channels.
        repeats: number of residual units.
        activation: activation of all convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.DarknetStage(8, repeats=1)(keras.Input((16, 16, 4))).shape
        (None, 8, 8, 8)
    """

    def __init__(
        self, filters: int, repeats: int, activation: str = "leaky_relu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.down = ConvNormAct(filters, 3, strides=2, activation=activation)
        self.units = [Residual(filters, activation=activation) for _ in range(repeats)]

    def call(self, x: Tensor) -> Tensor:
        """Halve height and width, and run the units."""
        x = self.down(x)
        for unit in self.units:
            x = unit(x)
        return x


@register
class ResNetUnit(Composite):
    """Residual unit of ResNet (He et al. 2015, figure 5), basic or bottleneck.

    If stride or channels change, the shortcut is a 1×1 projection (option B), else the identity.
    The stride is in the 3×3 convolution, as in PyTorch's implementation ("v1.5"). Output: (batch,
    height / strides, width / strides, filters), or 4 * filters channels for a bottleneck.

    Args:
        filters: channels of the 3×3 convolutions; the output of a bottleneck has four times as
            many.
        strides: 1, or 2 to halve height and width.
        bottleneck: 1×1, 3×3 and 1×1 convolutions instead of two 3×3.
        project: whether the shortcut is a projection.
        stride_in: kernel size of the bottleneck's convolution that has the stride: 3, or 1 as in
            the paper and in Keras's weights.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.ResNetUnit(4, strides=2, project=True)(keras.Input((16, 16, 8))).shape
        (None, 8, 8, 16)
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        bottleneck: bool = True,
        project: bool = False,
        stride_in: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        norm: dict[str, Any] = {"momentum": 0.9, "epsilon": 1e-5}
        first, second = (strides, 1) if stride_in == 1 else (1, strides)
        out = 4 * filters if bottleneck else filters
        if bottleneck:
            self.convs = [
                ConvNormAct(filters, 1, strides=first, activation="relu", **norm),
                ConvNormAct(filters, 3, strides=second, activation="relu", **norm),
                ConvNormAct(out, 1, activation=None, **norm),
            ]
        else:
            self.convs = [
                ConvNormAct(filters, 3, strides=strides, activation="relu", **norm),
                ConvNormAct(out, 3, activation=None, **norm),
            ]
        self.shortcut = None
        if project:
            self.shortcut = ConvNormAct(out, 1, strides=strides, activation=None, **norm)
        self.sum = Sum()
        self.act = activation_layer("relu")

    def call(self, x: Tensor) -> Tensor:
        """Run the convolutions, add the shortcut, and apply the activation."""
        y = x
        for conv in self.convs:
            y = conv(y)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return self.act(self.sum([shortcut, y]))


@register
class ResNetStage(Composite):
    """Stage of ResNet units, the first of which changes stride and channels.

    Args:
        filters: channels of the units' 3×3 convolutions.
        repeats: number of units.
        strides: stride of the first unit.
        bottleneck: whether the units are bottlenecks.
        stride_in: kernel size of the convolution of a bottleneck that has the stride, 3 or 1.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.ResNetStage(4, repeats=2)(keras.Input((16, 16, 8))).shape
        (None, 8, 8, 16)
    """

    def __init__(
        self,
        filters: int,
        repeats: int,
        strides: int = 2,
        bottleneck: bool = True,
        stride_in: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        project = bottleneck or strides > 1
        first = ResNetUnit(filters, strides, bottleneck, project, stride_in)
        self.units = [first, *(ResNetUnit(filters, 1, bottleneck) for _ in range(repeats - 1))]

    def call(self, x: Tensor) -> Tensor:
        """Run the units."""
        for unit in self.units:
            x = unit(x)
        return x
