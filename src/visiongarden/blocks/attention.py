"""Partial self-attention: YOLOv10 (Wang et al. 2024, arXiv 2405.14458), section 3.2, figure 3c."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from visiongarden.layers import Composite, ConvNormAct, DepthwiseNormAct, Sum
from visiongarden.registry import register


@register
class Attend(keras.layers.Layer):
    """Scaled dot-product attention between all cells of a feature map (Vaswani et al. 2017, eq. 1).

    Takes queries and keys (batch, height, width, heads * k) and values (batch, height, width,
    heads * v); returns the shape of the values.

    Args:
        heads: number of heads.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, inputs: Any) -> Any:
        """Attends; `inputs` is [queries, keys, values]."""
        queries, keys, values = (self._by_head(x) for x in inputs)
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        weights = ops.softmax(scores * queries.shape[-1] ** -0.5, axis=-1)
        found = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
        return ops.reshape(found, ops.shape(inputs[2]))

    def build(self, input_shape: Any) -> None:
        """Makes no weight."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the values."""
        return tuple(input_shape[2])

    def _by_head(self, x: Any) -> Any:
        """(batch, height, width, heads * c) -> (batch, heads, cells, c)."""
        rows = ops.reshape(x, (ops.shape(x)[0], -1, self.heads, x.shape[-1] // self.heads))
        return ops.transpose(rows, (0, 2, 1, 3))


@register
class SelfAttention(Composite):
    """Multi-head self-attention on a feature map, with keys of half the values' width.

    A 1×1 makes queries, keys and values; a depthwise 3×3 of the values is added as the encoding of
    places; a 1×1 projects. Shapes stay.

    Args:
        filters: channels of input and output.
        heads: number of heads; divides `filters`.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys = filters // heads // 2 * heads
        self.qkv = ConvNormAct(2 * self.keys + filters, activation=None)
        self.attend = Attend(heads)
        self.places = DepthwiseNormAct(3, activation=None)
        self.sum = Sum()
        self.project = ConvNormAct(filters, activation=None)

    def call(self, x: Any) -> Any:
        """Attends, adds the places, projects."""
        qkv, k = self.qkv(x), self.keys
        values = qkv[..., 2 * k :]
        found = self.attend([qkv[..., :k], qkv[..., k : 2 * k], values])
        return self.project(self.sum([found, self.places(values)]))


@register
class AttentionUnit(Composite):
    """Self-attention, then a feed-forward network of two 1×1; each adds its input.

    Args:
        filters: channels of input and output; a head has 64, or more where 64 does not divide them.
        activation: between the two 1×1.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        most = max(filters // 64, 1)
        heads = max(count for count in range(1, most + 1) if filters % count == 0)
        self.attention = SelfAttention(filters, heads)
        self.attended = Sum()
        self.widen = ConvNormAct(2 * filters, activation=activation)
        self.narrow = ConvNormAct(filters, activation=None)
        self.fed = Sum()

    def call(self, x: Any) -> Any:
        """Runs both steps."""
        x = self.attended([x, self.attention(x)])
        return self.fed([x, self.narrow(self.widen(x))])


@register
class PSA(Composite):
    """Partial self-attention: a 1×1 makes two halves, one is attended, a 1×1 joins.

    Where the resolution is lowest, since cost grows with the square of the cells. YOLOv10 has one
    unit; YOLO11's published table repeats it ("C2PSA"). Shapes stay.

    Args:
        filters: channels of input and output.
        repeats: number of attention units.
        activation: of the convolutions that have one.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(
        self, filters: int, repeats: int = 1, activation: str = "silu", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        half = filters // 2
        self.split = ConvNormAct(2 * half, activation=activation)
        self.units = [AttentionUnit(half, activation) for _ in range(repeats)]
        self.concat = keras.layers.Concatenate()
        self.out = ConvNormAct(filters, activation=activation)

    def call(self, x: Any) -> Any:
        """Splits, attends on the second half, joins."""
        whole = self.split(x)
        half = whole.shape[-1] // 2
        y = whole[..., half:]
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([whole[..., :half], y]))
