"""Layers that only Darknet has: its paddings, orders of channels and sums of unequal maps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.registry import register

Pads = tuple[tuple[int, int], tuple[int, int]]
"""(top, bottom), (left, right), in cells."""


@register
class PaddedPool(keras.layers.Layer):
    """Pooling over a padded map; what is padded counts neither for the maximum nor for the mean.

    Args:
        size: side of the window.
        strides: down and across.
        pads: (top, bottom), (left, right).
        mean: the mean instead of the maximum.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, size: int, strides: tuple[int, int], pads: Pads, mean: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.strides, self.pads, self.mean = size, strides, pads, mean

    def call(self, x: Any) -> Any:
        """Pads and pools."""
        pads = ((0, 0), *(tuple(pair) for pair in self.pads), (0, 0))
        strides = tuple(self.strides)
        if not self.mean:
            least = float(np.finfo(np.float16).min) if "16" in self.compute_dtype else -3.4e38
            x = ops.pad(x, pads, constant_values=least)
            return ops.max_pool(x, self.size, strides, "valid")
        total = ops.average_pool(ops.pad(x, pads), self.size, strides, "valid")
        inside = ops.average_pool(
            ops.pad(ops.ones_like(x[:1, :, :, :1]), pads), self.size, strides, "valid"
        )
        return total / inside

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Batch and channels stay."""
        sides = (
            (side + sum(pair) - self.size) // stride + 1
            for side, pair, stride in zip(input_shape[1:3], self.pads, self.strides, strict=True)
        )
        return (input_shape[0], *sides, input_shape[3])


@register
class Reorg(keras.layers.Layer):
    """Blocks of cells become channels: (h, w, c) -> (h / s, w / s, c * s * s).

    With `old`, as YOLOv2's weights need it, Darknet reads the map as if it had c / s**2 channels
    and s times the sides, and sorts that one: an error that became the format.

    Args:
        stride: side of a block.
        old: YOLOv2's order.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, stride: int, old: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stride, self.old = stride, old

    def call(self, x: Any) -> Any:
        """Sorts the values anew; none changes."""
        s, (rows, columns, channels) = self.stride, x.shape[1:]
        x = ops.transpose(x, (0, 3, 1, 2))
        # Darknet's loops: out[dy, dx, c][i, j] = in[c][i * s + dy, j * s + dx]
        if self.old:
            few = channels // s**2
            x = ops.reshape(x, (-1, few, rows, s, columns, s))
        else:
            x = ops.reshape(x, (-1, channels, rows // s, s, columns // s, s))
        x = ops.transpose(x, (0, 3, 5, 1, 2, 4))
        x = ops.reshape(x, (-1, channels * s * s, rows // s, columns // s))
        return ops.transpose(x, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Fewer cells, more channels."""
        batch, rows, columns, channels = input_shape
        return (batch, rows // self.stride, columns // self.stride, channels * self.stride**2)


@register
class ChannelGroup(keras.layers.Layer):
    """One of `groups` equal shares of the channels.

    Args:
        groups: number of shares.
        group: which, from 0.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, groups: int, group: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.groups, self.group = groups, group

    def call(self, x: Any) -> Any:
        """Cuts the share out."""
        count = x.shape[-1] // self.groups
        return x[..., self.group * count : (self.group + 1) * count]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """A share of the channels."""
        return (*input_shape[:-1], input_shape[-1] // self.groups)


@register
class UnequalSum(keras.layers.Layer):
    """Sum of maps, as large as the first: common channels are added, larger maps are sub-sampled.

    Darknet's [shortcut]; with `weights` each map has a factor, or one for each channel.

    Input: a list of maps; output: the size of the first.

    Args:
        weights: none, or how many factors a map has: 1, or as many as the channels.
        normalization: "none"; "relu" or "softmax" make the factors of a channel add up to 1.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, weights: int | None = None, normalization: str = "none", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.count, self.normalization = weights, normalization
        self.factors: Any = None

    def build(self, input_shape: Any) -> None:
        """One factor for each map, or for each channel of each map."""
        if self.count:
            self.factors = self.add_weight(
                shape=(len(input_shape), self.count), initializer="ones", name="factors"
            )

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments; the attribute `weights` is Keras's own."""
        config = {"weights": self.count, "normalization": self.normalization}
        return super().get_config() | config

    def call(self, maps: Any) -> Any:
        """Adds the maps up."""
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

    def _normalized(self) -> Any:
        if self.factors is None:
            return None
        factors = ops.convert_to_tensor(self.factors)
        if self.normalization == "none":
            return factors
        if self.normalization == "relu":
            factors = ops.relu(factors)
        else:
            factors = ops.exp(factors - ops.max(factors, axis=0, keepdims=True))
        return factors / (ops.sum(factors, axis=0, keepdims=True) + 1e-4)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the first map."""
        return tuple(input_shape[0])


@register
class Every(keras.layers.Layer):
    """Every n-th cell: what a stride leaves of a map.

    Args:
        strides: down and across.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, strides: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strides = strides

    def call(self, x: Any) -> Any:
        """Leaves the others out."""
        return x[:, :: self.strides[0], :: self.strides[1]]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Sides divided by the strides, rounded up."""
        sides = (-(-n // s) for n, s in zip(input_shape[1:3], self.strides, strict=True))
        return (input_shape[0], *sides, input_shape[3])


@register
class LocalConv(keras.layers.Layer):
    """A convolution with a kernel of its own for each cell (YOLOv1).

    Args:
        filters: channels of the output.
        size: side of the kernels.
        stride: step of the kernels.
        padding: cells of zeros on every side.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, size: int, stride: int, padding: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.size, self.stride, self.padding = filters, size, stride, padding
        self.kernel_initializer = keras.initializers.HeNormal()

    def build(self, input_shape: Any) -> None:
        """A kernel and a bias for each cell of the output."""
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

    def call(self, x: Any) -> Any:
        """Multiplies each patch by its own kernel."""
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
        """With padding every cell of the input is a centre."""
        reach = 1 if self.padding else self.size
        sides = ((side - reach) // self.stride + 1 for side in input_shape[1:3])
        return (input_shape[0], *sides, self.filters)


@register
class SharedConv(keras.layers.Layer):
    """Convolves with the kernel of another layer, perhaps with another dilation.

    Has no weights of its own; it is made again from the cfg, not from its config.

    Args:
        of: the layer that owns the kernel.
        dilation: distance between the kernel's cells.
        padding: cells of zeros on every side, for a dilation of 1.
        **kwargs: `name`, `dtype`.
    """

    def __init__(self, of: keras.layers.Conv2D, dilation: int, padding: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        object.__setattr__(self, "_of", of)  # not tracked: its weights belong to the other layer
        self.dilation, self.padding = dilation, padding

    def call(self, x: Any) -> Any:
        """Convolution of stride 1."""
        of: Any = getattr(self, "_of")  # noqa: B009
        pad = (self.padding * self.dilation,) * 2
        x = ops.pad(x, ((0, 0), pad, pad, (0, 0)))
        x = ops.conv(x, of.kernel, 1, "valid", dilation_rate=self.dilation)
        return x if of.bias is None else x + of.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As many channels as the kernel has filters."""
        of: Any = getattr(self, "_of")  # noqa: B009
        more = 2 * self.padding * self.dilation - (of.kernel_size[0] - 1) * self.dilation
        return (input_shape[0], *(side + more for side in input_shape[1:3]), of.filters)
