"""`BatchNorm`: batch normalization by the fused operation of each backend."""

from __future__ import annotations

import keras
from keras import ops

from visiongarden.backends.batch_norm import fused_norm
from visiongarden.registry import register
from visiongarden.types import Tensor


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
        fused = fused_norm() if mask is None and self._fusible(inputs) else None
        if fused is None:
            return super().call(inputs, training=training, mask=mask)
        inputs = ops.cast(inputs, self.compute_dtype)
        learns = bool(training and self.trainable)
        gamma = self.gamma.value if self.scale else ops.ones_like(self.moving_mean)
        beta = self.beta.value if self.center else ops.zeros_like(self.moving_mean)
        moving = (self.moving_mean.value, self.moving_variance.value)
        output, mean, variance = fused(inputs, gamma, beta, moving, self.epsilon, learns)
        if learns:
            keep = self.momentum
            self.moving_mean.assign(keep * self.moving_mean + (1 - keep) * mean)
            self.moving_variance.assign(keep * self.moving_variance + (1 - keep) * variance)
        return output

    def _fusible(self, inputs: Tensor) -> bool:
        return (
            len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not (self.renorm or self.synchronized)
            # Fused operations keep the statistics of half-precision inputs in float32; they do not
            # exist for other pairs of dtypes.
            and self.variable_dtype == "float32"
            and self.compute_dtype in ("float32", "bfloat16", "float16")
        )
