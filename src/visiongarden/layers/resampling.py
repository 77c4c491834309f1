"""`MaxPooling` and `Upsampling`: Keras's, without copies of the feature map on PyTorch."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.registry import register


@register
class MaxPooling(keras.layers.MaxPooling2D):
    """`keras.layers.MaxPooling2D`, the same numbers.

    On PyTorch Keras turns the map before and after; here it stays in its layout where the padding
    is alike on both sides.

    Args:
        pool_size: side of the window, in cells.
        strides: step of the window, in cells; None is `pool_size`.
        padding: "valid" or "same".
        **kwargs: those of `keras.layers.MaxPooling2D`.
    """

    def call(self, inputs: Any) -> Any:
        """The largest value of each window."""
        pad = self._pad()
        if keras.backend.backend() != "torch" or pad is None:
            return super().call(inputs)
        import torch

        x = torch.nn.functional.max_pool2d(
            inputs.permute(0, 3, 1, 2), self.pool_size, self.strides, pad
        )
        return x.permute(0, 2, 3, 1)

    def _pad(self) -> tuple[int, int] | None:
        """Cells on each side; None where they differ, or depend on the map's size."""
        if self.data_format != "channels_last":
            return None
        if self.padding == "valid":
            return 0, 0
        alike = set(self.strides) == {1} and all(side % 2 for side in self.pool_size)
        return (self.pool_size[0] // 2, self.pool_size[1] // 2) if alike else None


@register
class Upsampling(keras.layers.UpSampling2D):
    """`keras.layers.UpSampling2D`, the same numbers.

    Keras repeats rows and columns in two copies; on TensorFlow and PyTorch the nearest cell is one
    operation here, which exported files have too.

    Args:
        size: factor of height and width, a whole number.
        **kwargs: those of `keras.layers.UpSampling2D`.
    """

    def call(self, inputs: Any) -> Any:
        """Each cell as a block of `size` cells, or what lies between them."""
        nearest = self.interpolation == "nearest" and self.data_format == "channels_last"
        if nearest and keras.backend.backend() == "tensorflow":
            return _nearest_on_tensorflow(inputs, self.size)
        if not nearest or keras.backend.backend() != "torch":
            return super().call(inputs)
        import torch

        factors = tuple(float(side) for side in self.size)
        x = torch.nn.functional.interpolate(inputs.permute(0, 3, 1, 2), scale_factor=factors)
        return x.permute(0, 2, 3, 1)


def _nearest_on_tensorflow(inputs: Any, size: tuple[int, int]) -> Any:
    """Each cell as a block; the gradient sums over the block, which XLA compiles too."""
    import tensorflow as tf

    @tf.custom_gradient
    def enlarged(x: Any) -> Any:
        sides = tf.shape(x)[1:3] if None in x.shape[1:3] else x.shape[1:3]
        y = tf.raw_ops.ResizeNearestNeighbor(images=x, size=tf.multiply(sides, size))

        def back(gradient: Any) -> Any:
            return tf.nn.avg_pool2d(gradient, size, size, "VALID") * (size[0] * size[1])

        return y, back

    return enlarged(inputs)
