"""`BatchNorm`: batch normalization by the fused operation of each backend."""

from __future__ import annotations

import keras
from keras import ops

from visiongarden.backends.batch_norm import fused_norm, norm_silu
from visiongarden.backends.distribution import is_synchronized, summed
from visiongarden.layers.activations import Silu, in_place
from visiongarden.registry import register
from visiongarden.types import Tensor


@register
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalization, equal to `keras.layers.BatchNormalization` up to rounding but fused.

    On TensorFlow and PyTorch, Keras computes moments, scale and shift as separate operations, each
    of which reads and writes the whole feature map. This layer runs the fused operation of the
    backend. It falls back to Keras's computation for inputs that are not (batch, height, width,
    channels), for masked inputs, and with `renorm` or `synchronized`. In a run on several devices
    with `training.batch_norm: synchronized`, the statistics are those of the whole batch.

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
        self,
        inputs: Tensor,
        training: bool | None = None,
        mask: Tensor | None = None,
        activation: keras.Layer | None = None,
    ) -> Tensor:
        """Normalize the inputs; in training, also update the moving averages.

        Args:
            inputs: Float tensor.
            training: Whether to normalize by the statistics of the batch.
            mask: Mask of the inputs.
            activation: Layer that is applied to the normalized inputs. On TensorFlow, a training
                step with `Silu` then keeps one feature map less for its gradients.
        """
        learns = bool(training and self.trainable)
        if learns and mask is None and not self.renorm and is_synchronized():
            return _activated(activation, self._synchronized(inputs))
        fused = fused_norm() if mask is None and self._fusible(inputs) else None
        if fused is None:
            output = super().call(inputs, training=training, mask=mask)
            return _activated(activation, output)
        inputs = ops.cast(inputs, self.compute_dtype)
        gamma = self.gamma.value if self.scale else ops.ones_like(self.moving_mean)
        beta = self.beta.value if self.center else ops.zeros_like(self.moving_mean)
        moving = (self.moving_mean.value, self.moving_variance.value)
        is_silu = isinstance(activation, Silu) and activation.dtype_policy == self.dtype_policy
        joint = norm_silu() if learns and is_silu else None
        if joint is not None:
            momentum = self.momentum
            output, *averages = joint(inputs, gamma, beta, moving, self.epsilon, momentum)
            for variable, value in zip(
                (self.moving_mean, self.moving_variance), averages, strict=True
            ):
                variable.assign(value)
            return output
        output, mean, variance = fused(inputs, gamma, beta, moving, self.epsilon, learns)
        if learns:
            self._learn(mean, variance)
        return _activated(activation, output)

    def _synchronized(self, inputs: Tensor) -> Tensor:
        """Normalize by the statistics of the batches of all replicas."""
        x = ops.cast(inputs, self.variable_dtype)
        channels = self.axis % len(inputs.shape)
        axes = [axis for axis in range(len(inputs.shape)) if axis != channels]
        shape = [1] * len(inputs.shape)
        shape[channels] = inputs.shape[channels]
        ones = ops.cast(ops.size(x) / inputs.shape[channels], self.variable_dtype)
        total, count = summed([ops.sum(x, axis=axes), ops.stop_gradient(ones)])
        mean = total / count
        # Not the mean of squares, which loses digits where the mean is large (as in SyncBatchNorm).
        apart = x - ops.reshape(mean, shape)
        (squares,) = summed([ops.sum(apart * apart, axis=axes)])
        variance = squares / count
        factor = ops.rsqrt(variance + self.epsilon)
        if self.scale:
            factor = factor * self.gamma
        output = apart * ops.reshape(factor, shape)
        if self.center:
            output = output + ops.reshape(self.beta, shape)
        self._learn(mean, variance)
        return ops.cast(output, self.compute_dtype)

    def _learn(self, mean: Tensor, variance: Tensor) -> None:
        keep = self.momentum
        self.moving_mean.assign(keep * self.moving_mean + (1 - keep) * mean)
        self.moving_variance.assign(keep * self.moving_variance + (1 - keep) * variance)

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


def normed(x: Tensor, norm: BatchNorm | None, act: keras.Layer, training: bool | None) -> Tensor:
    """Apply batch normalization, if there is one, and an activation.

    Args:
        x: Float tensor, which the caller must not use afterwards; see `in_place`.
        norm: Batch normalization.
        act: Activation layer.
        training: Whether to normalize by the statistics of the batch.
    """
    if norm is None:
        return in_place(act, x)
    # One call only where it saves memory, so that layers which follow each other are also called
    # one after the other, as those who read a model from its calls expect.
    is_joint = training and norm_silu() is not None and isinstance(act, Silu)
    return norm(x, activation=act) if is_joint else in_place(act, norm(x))


def _activated(activation: keras.Layer | None, x: Tensor) -> Tensor:
    return x if activation is None else activation(x)
