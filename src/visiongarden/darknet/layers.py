"""Layers that Keras lacks: Darknet's padding, channel orders and sums of maps of unequal size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.registry import register
from visiongarden.types import Tensor

Pads = tuple[tuple[int, int], tuple[int, int]]
"""((top, bottom), (left, right)), in cells of a feature map."""


@register
class PaddedPool(keras.layers.Layer):
    """Max or average pooling with explicit padding, which does not affect the result.

    Args:
        size: Side of the square window.
        strides: (vertical, horizontal) strides.
        pads: Padding as ((top, bottom), (left, right)).
        mean: Whether to compute the average instead of the maximum.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(
        self, size: int, strides: tuple[int, int], pads: Pads, mean: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.strides, self.pads, self.mean = size, strides, pads, mean

    def call(self, x: Tensor) -> Tensor:
        """Pool a feature map of shape (batch, height, width, channels)."""
        pads = ((0, 0), *(tuple(pair) for pair in self.pads), (0, 0))
        strides = tuple(self.strides)
        if not self.mean:
            # A value so low that the padding is never the maximum.
            lowest = float(np.finfo(np.float16).min) if "16" in self.compute_dtype else -3.4e38
            x = ops.pad(x, pads, constant_values=lowest)
            return ops.max_pool(x, self.size, strides, "valid")
        # Dividing by the pooled mask of the cells inside the map leaves the padding out of the
        # average.
        total = ops.average_pool(ops.pad(x, pads), self.size, strides, "valid")
        inside = ops.average_pool(
            ops.pad(ops.ones_like(x[:1, :, :, :1]), pads), self.size, strides, "valid"
        )
        return total / inside

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output; batch size and channels are those of the input."""
        sides = (
            (side + sum(pair) - self.size) // stride + 1
            for side, pair, stride in zip(input_shape[1:3], self.pads, self.strides, strict=True)
        )
        return (input_shape[0], *sides, input_shape[3])


@register
class Reorg(keras.layers.Layer):
    """Space-to-depth in Darknet's channel order: (h, w, c) becomes (h / s, w / s, c * s * s).

    With `old`, the order is that of [reorg] in YOLOv2. There Darknet treats the map as if it had
    c / s² channels and sides s times as long, a bug that the published weights depend on.

    Args:
        stride: Side of a block of cells.
        old: Whether to use the order of YOLOv2.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(self, stride: int, old: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stride, self.old = stride, old

    def call(self, x: Tensor) -> Tensor:
        """Rearrange a feature map of shape (batch, height, width, channels)."""
        s, (rows, columns, channels) = self.stride, x.shape[1:]
        x = ops.transpose(x, (0, 3, 1, 2))  # Darknet's order is defined channels first.
        # Darknet's loops: out[dy, dx, c][i, j] = in[c][i * s + dy, j * s + dx]
        if self.old:
            fewer_channels = channels // s**2
            x = ops.reshape(x, (-1, fewer_channels, rows, s, columns, s))
        else:
            x = ops.reshape(x, (-1, channels, rows // s, s, columns // s, s))
        x = ops.transpose(x, (0, 3, 5, 1, 2, 4))
        x = ops.reshape(x, (-1, channels * s * s, rows // s, columns // s))
        return ops.transpose(x, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (batch, height / stride, width / stride, channels * stride²)."""
        batch, rows, columns, channels = input_shape
        return (batch, rows // self.stride, columns // self.stride, channels * self.stride**2)


@register
class ChannelGroup(keras.layers.Layer):
    """Slice of the channels: one of several groups of equal size.

    Args:
        groups: Number of groups.
        group: Index of the group to return, from 0.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(self, groups: int, group: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups, self.group = groups, group

    def call(self, x: Tensor) -> Tensor:
        """Slice a tensor along its last axis."""
        count = x.shape[-1] // self.groups
        return x[..., self.group * count : (self.group + 1) * count]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape with the channels divided by the number of groups."""
        return (*input_shape[:-1], input_shape[-1] // self.groups)


@register
class UnequalSum(keras.layers.Layer):
    """Sum of feature maps of different sizes, Darknet's [shortcut].

    The output has the shape of the first map. Larger maps are subsampled, and maps with fewer
    channels contribute to the first channels only. With `weights`, the sum is weighted by learned
    factors.

    Args:
        weights: Number of factors per map: None for a plain sum, 1, or the number of channels.
        normalization: Normalization of the factors over the maps: "none", "relu" or "softmax"; the
            last two make the factors add up to 1.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(
        self, weights: int | None = None, normalization: str = "none", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.count, self.normalization = weights, normalization
        self.factors: keras.Variable | None = None

    def build(self, input_shape: Any) -> None:
        """Create the factors, of shape (maps, 1) or (maps, channels)."""
        if self.count:
            self.factors = self.add_weight(
                shape=(len(input_shape), self.count), initializer="ones", name="factors"
            )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        # Keras cannot read them off the attributes, because `weights` is a property of its layers.
        config = {"weights": self.count, "normalization": self.normalization}
        return super().get_config() | config

    def call(self, maps: Sequence[Tensor]) -> Tensor:
        """Add up a list of maps of shape (batch, height, width, channels)."""
        factors = self._normalized()
        first = maps[0]
        rows, columns, channels = first.shape[1:]
        total = first if factors is None else first * factors[0]
        for number, x in enumerate(maps[1:], start=1):
            step = x.shape[1] // rows
            common = min(channels, x.shape[3])
            x = x[:, : rows * step : step, : columns * step : step, :common]
            x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - common)))
            total = total + (x if factors is None else x * factors[number])
        return total

    def _normalized(self) -> Tensor | None:
        if self.factors is None:
            return None
        factors = ops.convert_to_tensor(self.factors)
        if self.normalization == "none":
            return factors
        if self.normalization == "relu":
            factors = ops.relu(factors)
        else:
            factors = ops.exp(factors - ops.max(factors, axis=0, keepdims=True))
        return factors / (ops.sum(factors, axis=0, keepdims=True) + 1e-4)  # Darknet's epsilon

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the first map."""
        return tuple(input_shape[0])


@register
class Every(keras.layers.Layer):
    """Subsampling of a feature map to every n-th cell.

    Keras's convolutions do not support strides together with dilation; this layer applies the
    stride to the output of a dilated convolution.

    Args:
        strides: (vertical, horizontal) strides.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(self, strides: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strides = strides

    def call(self, x: Tensor) -> Tensor:
        """Subsample a feature map of shape (batch, height, width, channels)."""
        return x[:, :: self.strides[0], :: self.strides[1]]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape with the sides divided by the strides, rounded up."""
        sides = (-(-n // s) for n, s in zip(input_shape[1:3], self.strides, strict=True))
        return (input_shape[0], *sides, input_shape[3])


@register
class LocalConv(keras.layers.Layer):
    """Locally connected layer: a convolution with a separate kernel for each cell (YOLOv1).

    Args:
        filters: Number of output channels.
        size: Side of the square kernels.
        stride: Stride of the kernels.
        padding: Zero padding on every side, in cells.
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(self, filters: int, size: int, stride: int, padding: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.size, self.stride, self.padding = filters, size, stride, padding
        self.kernel_initializer = keras.initializers.HeNormal()

    def build(self, input_shape: Any) -> None:
        """Create a kernel and a bias for each cell of the output."""
        _, rows, columns, _ = self.compute_output_shape(input_shape)
        inside = self.size**2 * input_shape[3]
        self.kernel = self.add_weight(
            shape=(rows * columns, inside, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(rows, columns, self.filters), initializer="zeros", name="bias"
        )

    def call(self, x: Tensor) -> Tensor:
        """Multiply each patch of a feature map by the kernel of its cell.

        Args:
            x: Tensor of shape (batch, height, width, channels).

        Returns:
            A tensor of shape (batch, rows, columns, filters).
        """
        _, rows, columns, _ = self.compute_output_shape(tuple(x.shape))
        pad = (self.padding, self.padding)
        x = ops.pad(x, ((0, 0), pad, pad, (0, 0)))
        patches = [
            x[
                :,
                i : i + rows * self.stride : self.stride,
                j : j + columns * self.stride : self.stride,
            ]
            for i in range(self.size)
            for j in range(self.size)
        ]
        flat = ops.reshape(ops.concatenate(patches, axis=-1), (-1, *self.kernel.shape[:2]))
        found = ops.einsum("bpi,pif->bpf", flat, self.kernel)
        return ops.reshape(found, (-1, rows, columns, self.filters)) + self.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output."""
        # Darknet computes the size of a padded map as if the kernel had one cell.
        reach = 1 if self.padding else self.size
        sides = ((side - reach) // self.stride + 1 for side in input_shape[1:3])
        return (input_shape[0], *sides, self.filters)


@register
class SharedConv(keras.layers.Layer):
    """Convolution that shares the kernel and bias of another layer; the dilation may differ.

    The layer has no weights. It is built again from the cfg, not from its config.

    Args:
        of: The convolution that owns the kernel.
        dilation: Dilation rate.
        padding: Zero padding on every side for a dilation rate of 1, in cells.
        **kwargs: `name` and `dtype` of the layer.
    """

    _of: keras.layers.Conv2D

    def __init__(self, of: keras.layers.Conv2D, dilation: int, padding: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Keras would track an ordinary attribute as a sublayer, so that the weights of `of` would
        # belong to this layer too.
        object.__setattr__(self, "_of", of)
        self.dilation, self.padding = dilation, padding

    def call(self, x: Tensor) -> Tensor:
        """Convolve a feature map of shape (batch, height, width, channels) with stride 1."""
        of = self._of
        pad = (self.padding * self.dilation,) * 2
        x = ops.pad(x, ((0, 0), pad, pad, (0, 0)))
        x = ops.conv(x, of.kernel, 1, "valid", dilation_rate=self.dilation)
        return x if of.bias is None else x + of.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, which has as many channels as the kernel has filters."""
        of = self._of
        more = 2 * self.padding * self.dilation - (of.kernel_size[0] - 1) * self.dilation
        return (input_shape[0], *(side + more for side in input_shape[1:3]), of.filters)
