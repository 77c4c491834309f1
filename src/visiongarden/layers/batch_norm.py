"""`BatchNorm`: Keras's batch normalisation through each backend's own fused operation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from visiongarden.registry import register

_FUSED = {"tensorflow", "torch"}
"""JAX needs none: XLA fuses moments, scale and shift by itself."""


@register
class BatchNorm(keras.layers.BatchNormalization):
    """The same numbers as `keras.layers.BatchNormalization`, to rounding, in one pass.

    Keras runs moments, scale and shift as operations of their own on TensorFlow and PyTorch, which
    read and write the whole feature map each time. Inputs that are no (batch, height, width,
    channels), masked ones, renorm and synchronized statistics go Keras's own way.

    Args:
        **kwargs: those of `keras.layers.BatchNormalization`.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalises; in training also moves the moving averages."""
        if mask is not None or not self._fusible(inputs):
            return super().call(inputs, training=training, mask=mask)
        inputs = ops.cast(inputs, self.compute_dtype)
        learns = bool(training and self.trainable)
        gamma = self.gamma.value if self.scale else ops.ones_like(self.moving_mean)
        beta = self.beta.value if self.center else ops.zeros_like(self.moving_mean)
        fused = _torch if keras.backend.backend() == "torch" else _tensorflow
        moving = (self.moving_mean.value, self.moving_variance.value)
        output, mean, variance = fused(inputs, gamma, beta, moving, self.epsilon, learns)
        if learns:
            keep = self.momentum
            self.moving_mean.assign(keep * self.moving_mean + (1 - keep) * mean)
            self.moving_variance.assign(keep * self.moving_variance + (1 - keep) * variance)
        return output

    def _fusible(self, inputs: Any) -> bool:
        return (
            keras.backend.backend() in _FUSED
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not (self.renorm or self.synchronized)
            # Statistics of half precision stay float32; other pairs have no fused operation.
            and self.variable_dtype == "float32"
            and self.compute_dtype in ("float32", "bfloat16", "float16")
        )


def _tensorflow(
    x: Any, gamma: Any, beta: Any, moving: tuple[Any, Any], epsilon: float, learns: bool
) -> tuple[Any, Any, Any]:
    import tensorflow as tf

    given = (tf.zeros([0]), tf.zeros([0])) if learns else moving
    output, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=given[0],
        variance=given[1],
        epsilon=epsilon,
        is_training=learns,
    )
    if learns:
        variance *= _of_the_batch(tf.cast(tf.size(x) / tf.size(gamma), "float32"))
    return output, mean, variance


def _torch(
    x: Any, gamma: Any, beta: Any, moving: tuple[Any, Any], epsilon: float, learns: bool
) -> tuple[Any, Any, Any]:
    import torch

    # With momentum 1 what comes back as the moving averages are the batch's own statistics; what
    # was there before counts 0 times, which would be NaN for memory that was never written.
    mean, variance = (torch.zeros_like(each) for each in moving) if learns else moving
    output = torch.nn.functional.batch_norm(
        x.permute(0, 3, 1, 2), mean, variance, gamma, beta, learns, 1.0, epsilon
    )
    if learns:
        variance = variance * _of_the_batch(x.numel() / gamma.numel())
    return output.permute(0, 2, 3, 1), mean, variance


def _of_the_batch(count: Any) -> Any:
    """Both libraries divide the variance by n - 1 for the moving average, and Keras by n."""
    return (count - 1) / count
