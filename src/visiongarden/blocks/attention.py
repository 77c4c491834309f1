"""Partial self-attention: YOLOv10 (Wang et al. 2024, arXiv 2405.14458), section 3.2, figure 3c."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from visiongarden.layers import Composite, ConvNormAct, DepthwiseNormAct, Sum
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class Attend(keras.layers.Layer):
    """Scaled dot-product attention between all cells of a feature map (Vaswani et al. 2017, eq. 1).

    Input: a list of queries and keys, each (batch, height, width, heads * k), and values (batch,
    height, width, heads * v). Output: the shape of the values.

    Args:
        heads: number of attention heads.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> x = keras.Input((4, 4, 8))
        >>> vg.blocks.Attend(heads=2)([x, x, x]).shape
        (None, 4, 4, 8)
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Attend with `inputs`, a list of queries, keys and values."""
        queries, keys, values = (self._by_head(x) for x in inputs)
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        weights = ops.softmax(scores * queries.shape[-1] ** -0.5, axis=-1)
        found = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
        # The dynamic shape: height and width may be unknown when the layer is traced.
        return ops.reshape(found, ops.shape(inputs[2]))

    def build(self, input_shape: Any) -> None:
        """Mark the layer as built; it has no weights."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the values."""
        return tuple(input_shape[2])

    def _by_head(self, x: Tensor) -> Tensor:
        """Reshape (batch, height, width, heads * c) to (batch, heads, height * width, c)."""
        rows = ops.reshape(x, (ops.shape(x)[0], -1, self.heads, x.shape[-1] // self.heads))
        return ops.transpose(rows, (0, 2, 1, 3))


@register
class SelfAttention(Composite):
    """Multi-head self-attention on a feature map, with keys of half the width of the values.

    A 1×1 convolution computes queries, keys and values; a depthwise 3×3 convolution of the values
    is added as positional encoding; a 1×1 convolution projects the result. The shape is unchanged.

    Args:
        filters: channels of input and output.
        heads: number of attention heads; divides `filters`.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.SelfAttention(8, heads=2)(keras.Input((4, 4, 8))).shape
        (None, 4, 4, 8)
    """

    def __init__(self, filters: int, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys = filters // heads // 2 * heads
        self.qkv = ConvNormAct(2 * self.keys + filters, activation=None)
        self.attend = Attend(heads)
        self.places = DepthwiseNormAct(3, activation=None)
        self.sum = Sum()
        self.project = ConvNormAct(filters, activation=None)

    def call(self, x: Tensor) -> Tensor:
        """Attend, add the positional encoding, and project."""
        qkv, k = self.qkv(x), self.keys
        values = qkv[..., 2 * k :]
        found = self.attend([qkv[..., :k], qkv[..., k : 2 * k], values])
        return self.project(self.sum([found, self.places(values)]))


@register
class AttentionUnit(Composite):
    """Self-attention, then a feed-forward network of two 1×1 convolutions, each with a shortcut.

    The shape is unchanged.

    Args:
        filters: channels of input and output. Each attention head has 64 channels, or more if 64
            does not divide `filters`.
        activation: activation between the two 1×1 convolutions.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.AttentionUnit(8)(keras.Input((4, 4, 8))).shape
        (None, 4, 4, 8)
    """

    def __init__(self, filters: int, activation: str = "silu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        max_heads = max(filters // 64, 1)
        heads = max(count for count in range(1, max_heads + 1) if filters % count == 0)
        self.attention = SelfAttention(filters, heads)
        self.attended = Sum()
        self.widen = ConvNormAct(2 * filters, activation=activation)
        self.narrow = ConvNormAct(filters, activation=None)
        self.fed = Sum()

    def call(self, x: Tensor) -> Tensor:
        """Run attention and feed-forward network."""
        x = self.attended([x, self.attention(x)])
        return self.fed([x, self.narrow(self.widen(x))])


@register
class PSA(Composite):
    """Partial self-attention: half of the channels pass attention units, the others bypass them.

    A 1×1 convolution precedes the split, another one merges both halves. The cost of attention
    grows with the square of the number of cells, so the block belongs to the coarsest level.
    YOLOv10 uses one unit; YOLO11's published table repeats it ("C2PSA"). The shape is unchanged.

    Args:
        filters: channels of input and output.
        repeats: number of attention units.
        activation: activation of the convolutions that have one.
        **kwargs: `name`, `dtype`, `trainable`.

    Example:
        >>> vg.blocks.PSA(8)(keras.Input((4, 4, 8))).shape
        (None, 4, 4, 8)
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

    def call(self, x: Tensor) -> Tensor:
        """Split the channels, attend on the second half, and merge both halves."""
        whole = self.split(x)
        half = whole.shape[-1] // 2
        y = whole[..., half:]
        for unit in self.units:
            y = unit(y)
        return self.out(self.concat([whole[..., :half], y]))
