"""`MaxPooling` and `Upsampling`: Keras's layers without extra copies of the feature map."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras

from visiongarden.registry import register
from visiongarden.types import Tensor

if TYPE_CHECKING:
    import torch


@register
class MaxPooling(keras.layers.MaxPooling2D):
    """Max pooling, equal to `keras.layers.MaxPooling2D` but without copies on PyTorch.

    On PyTorch, Keras transposes the feature map before and after pooling. Here it keeps its memory
    layout if the padding is symmetric.

    Args:
        pool_size: height and width of the window.
        strides: stride of the window; None means `pool_size`.
        padding: "valid" or "same".
        **kwargs: other arguments of `keras.layers.MaxPooling2D`.

    Example:
        >>> vg.layers.MaxPooling(2)(keras.Input((16, 16, 8))).shape
        (None, 8, 8, 8)
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Return the maximum of each window."""
        pad = self._pad()
        if keras.backend.backend() != "torch" or pad is None:
            return super().call(inputs)
        return _max_on_torch(inputs, self.pool_size, self.strides, pad)

    def _pad(self) -> tuple[int, int] | None:
        """Return the symmetric (vertical, horizontal) padding, or None if it is not symmetric.

        With stride 1 and an odd window, "same" is symmetric; with a stride it depends on the size
        of the map.
        """
        if self.data_format != "channels_last":
            return None
        if self.padding == "valid":
            return 0, 0
        alike = set(self.strides) == {1} and all(side % 2 for side in self.pool_size)
        return (self.pool_size[0] // 2, self.pool_size[1] // 2) if alike else None


@register
class Upsampling(keras.layers.UpSampling2D):
    """Upsampling, equal to `keras.layers.UpSampling2D` but with one operation for "nearest".

    Keras repeats rows and columns in two copies. On TensorFlow and PyTorch, nearest-neighbor
    upsampling is one operation here, which exported files contain as well.

    Args:
        size: integer factor of height and width.
        **kwargs: other arguments of `keras.layers.UpSampling2D`.

    Example:
        >>> vg.layers.Upsampling(2)(keras.Input((8, 8, 4))).shape
        (None, 16, 16, 4)
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Upsample the inputs by `size`."""
        nearest = self.interpolation == "nearest" and self.data_format == "channels_last"
        if nearest and keras.backend.backend() == "tensorflow":
            return _nearest_on_tensorflow(inputs, self.size)
        if not nearest or keras.backend.backend() != "torch":
            return super().call(inputs)
        return _nearest_on_torch(inputs, self.size)


def _max_on_torch(
    x: torch.Tensor, window: tuple[int, int], strides: tuple[int, int], pad: tuple[int, int]
) -> torch.Tensor:
    import torch

    pooled = torch.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), window, strides, pad)
    return pooled.permute(0, 2, 3, 1)


def _nearest_on_torch(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    import torch

    factors = tuple(float(side) for side in size)
    enlarged = torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), scale_factor=factors)
    return enlarged.permute(0, 2, 3, 1)


def _nearest_on_tensorflow(inputs: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample by nearest neighbor, with a custom gradient that XLA can compile as well.

    The gradient is the sum over each block of output cells, computed as an average pooling.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def enlarged(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        sides = tf.shape(x)[1:3] if None in x.shape[1:3] else x.shape[1:3]
        y = tf.raw_ops.ResizeNearestNeighbor(images=x, size=tf.multiply(sides, size))

        def back(gradient: tf.Tensor) -> tf.Tensor:
            return tf.nn.avg_pool2d(gradient, size, size, "VALID") * (size[0] * size[1])

        return y, back

    result: Tensor = enlarged(inputs)
    return result
