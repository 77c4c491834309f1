"""`MaxPooling` and `Upsampling`: Keras's layers without extra copies of the feature map."""

from __future__ import annotations

import keras

from visiongarden.backends.resampling import max_pooling, nearest_upsampling
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class MaxPooling(keras.layers.MaxPooling2D):
    """Max pooling, equal to `keras.layers.MaxPooling2D` but faster on PyTorch and JAX.

    On PyTorch, Keras transposes the feature map before and after pooling. Here it keeps its memory
    layout if the padding is symmetric. On JAX and a CPU, rows and columns are pooled one after the
    other.

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
        pads = self._pads(inputs)
        pool = None if pads is None else max_pooling(inputs, self.pool_size, pads)
        if pool is None:
            return super().call(inputs)
        return pool(inputs, self.pool_size, self.strides, pads)

    def _pads(self, inputs: Tensor) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Return (top, bottom), (left, right) padding; None if it depends on an unknown size."""
        if self.data_format != "channels_last":
            return None
        if self.padding == "valid":
            return (0, 0), (0, 0)
        pads = []
        for side, window, stride in zip(
            inputs.shape[1:3], self.pool_size, self.strides, strict=True
        ):
            if stride == 1:
                total = window - 1
            elif isinstance(side, int):
                total = max((-(-side // stride) - 1) * stride + window - side, 0)
            else:
                return None
            pads.append((total // 2, total - total // 2))
        return pads[0], pads[1]


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
        upsample = nearest_upsampling() if nearest else None
        return super().call(inputs) if upsample is None else upsample(inputs, self.size)
