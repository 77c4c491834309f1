"""`MaxPooling` and `Upsampling`: Keras's layers without extra copies of the feature map."""

from __future__ import annotations

import keras

from visiongarden.backends.resampling import max_pooling, nearest_upsampling
from visiongarden.registry import register
from visiongarden.types import Tensor


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
        pad, pool = self._pad(), max_pooling()
        if pool is None or pad is None:
            return super().call(inputs)
        return pool(inputs, self.pool_size, self.strides, pad)

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
        upsample = nearest_upsampling() if nearest else None
        return super().call(inputs) if upsample is None else upsample(inputs, self.size)
