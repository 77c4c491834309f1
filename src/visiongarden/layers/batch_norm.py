"""`BatchNorm`: batch normalization by the fused operation of each backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import keras
from keras import ops

from visiongarden.registry import register
from visiongarden.types import Tensor

if TYPE_CHECKING:
    import torch

_Count = TypeVar("_Count", Tensor, float)

_FUSED = {"tensorflow", "torch"}
"""Backends with a fused operation; on JAX, XLA fuses moments, scale and shift by itself."""


@register
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalization, equal to `keras.layers.BatchNormalization` up to rounding but fused.

    On TensorFlow and PyTorch, Keras computes moments, scale and shift as separate operations, each
    of which reads and writes the whole feature map. This layer runs the fused operation of the
    backend. It falls back to Keras's computation for inputs that are not (batch, height, width,
    channels), for masked inputs, and with `renorm` or `synchronized`.

    Args:
        **kwargs: arguments of `keras.layers.BatchNormalization`.

    Example:
        >>> norm = vg.layers.BatchNorm()
        >>> norm(keras.Input((8, 8, 3))).shape
        (None, 8, 8, 3)
        >>> [weight.name for weight in norm.weights]
        ['gamma', 'beta', 'moving_mean', 'moving_variance']
    """

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Normalize the inputs; in training, also update the moving averages."""
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

    def _fusible(self, inputs: Tensor) -> bool:
        return (
            keras.backend.backend() in _FUSED
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not (self.renorm or self.synchronized)
            # Fused operations keep the statistics of half-precision inputs in float32; they do not
            # exist for other pairs of dtypes.
            and self.variable_dtype == "float32"
            and self.compute_dtype in ("float32", "bfloat16", "float16")
        )


def _tensorflow(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    moving: tuple[Tensor, Tensor],
    epsilon: float,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    import tensorflow as tf

    # In training the operation requires empty moving averages; Keras's update is applied by `call`.
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
    x: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    moving: tuple[torch.Tensor, torch.Tensor],
    epsilon: float,
    learns: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    import torch

    # With PyTorch's momentum of 1, the "moving averages" that are returned are the statistics of
    # the batch. The old value is multiplied by 0, and must be finite: 0 * NaN is NaN, hence zeros
    # instead of uninitialized memory.
    mean, variance = (torch.zeros_like(each) for each in moving) if learns else moving
    output = torch.nn.functional.batch_norm(
        x.permute(0, 3, 1, 2), mean, variance, gamma, beta, learns, 1.0, epsilon
    )
    if learns:
        variance = variance * _of_the_batch(x.numel() / gamma.numel())
    return output.permute(0, 2, 3, 1), mean, variance


def _of_the_batch(count: _Count) -> _Count:
    """Return the factor from the unbiased variance to the variance that Keras averages.

    The fused operations of both backends divide by n - 1, Keras divides by n.
    """
    return (count - 1) / count
