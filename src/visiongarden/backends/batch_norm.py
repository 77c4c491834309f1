"""Fused batch normalization of TensorFlow and PyTorch, on TensorFlow together with SiLU.

**Why.** Keras computes moments, scale and shift as separate operations, each of which reads and
writes the whole feature map; on JAX, XLA fuses them by itself. **Gain:** on a CPU, a 1×1
convolution with norm and SiLU, forward and backward: TensorFlow ×1.18, PyTorch ×3.0
(benchmarks/RESULTS.md, Speed). **Switch:** `fused_norms`, for the computation of Keras.

A training step keeps three feature maps of each convolution with norm and SiLU for its gradients:
the outputs of all three. The second one is a scale and a shift of the first, so TensorFlow computes
it again, in the pass that computes the gradient of SiLU; and all layers share one function of
TensorFlow. **Gain:** a training step with a third fewer operations, and 70 to 90 MiB less memory
(benchmarks/RESULTS.md, Memory). **Switch:** `norm_silu`, for two operations that both keep their
inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import keras

from visiongarden.backends.switches import is_on
from visiongarden.types import Tensor

if TYPE_CHECKING:
    import tensorflow as tf
    import torch

_Count = TypeVar("_Count", Tensor, float)

Fused: TypeAlias = Callable[..., tuple[Any, Any, Any]]
"""`fused(x, gamma, beta, (mean, variance), epsilon, learns) -> (output, mean, variance)`.

With `learns`, the statistics of the batch are used and returned; the variance is that of Keras,
divided by n.
"""


NormSilu: TypeAlias = Callable[..., tuple[Any, Any, Any]]
"""`joint(x, gamma, beta, (mean, variance), epsilon, momentum) -> (output, mean, variance)`.

It normalizes by the statistics of the batch and returns the new moving averages.
"""


def fused_norm() -> Fused | None:
    """Return the fused operation of the backend for (batch, height, width, channels), or None."""
    return _FUSED.get(keras.backend.backend()) if is_on("fused_norms") else None


def norm_silu() -> NormSilu | None:
    """Return normalization and SiLU in one operation, for training; None on other backends."""
    paths = ("fused_norms", "silu_gradient", "norm_silu")
    is_better = keras.backend.backend() == "tensorflow" and all(map(is_on, paths))
    return _tensorflow_norm_silu if is_better else None


def _tensorflow(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    moving: tuple[Tensor, Tensor],
    epsilon: float,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    output, mean, variance, *_ = _fused_tensorflow(
        x, gamma, beta, None if learns else moving, epsilon
    )
    return output, mean, variance


def _fused_tensorflow(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    moving: tuple[Tensor, Tensor] | None,
    epsilon: float,
) -> tuple[Tensor, ...]:
    """Normalize, by the statistics of the batch if `moving` is None.

    Returns:
        Output, mean, variance divided by n, and what the gradient of the operation needs.
    """
    import tensorflow as tf

    learns = moving is None
    # In training the operation requires empty moving averages; the layer applies Keras's update.
    given = (tf.zeros([0]), tf.zeros([0])) if moving is None else moving
    output, mean, variance, *saved = tf.raw_ops.FusedBatchNormV3(
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
    return output, mean, variance, *saved


def _tensorflow_norm_silu(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    moving: tuple[Tensor, Tensor],
    epsilon: float,
    momentum: float,
) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Any, Any, Any]
    x, *others = map(keras.ops.convert_to_tensor, (x, gamma, beta, *moving))
    found = _norm_silu(epsilon, momentum, x.dtype)(x, *others)
    found[0].set_shape(x.shape)
    return found


@cache
def _norm_silu(epsilon: float, momentum: float, dtype: Any) -> Callable[..., Any]:
    """Return the operation as a function of TensorFlow, which all layers share.

    It is traced once for feature maps of all sizes, where the operations of each layer would be a
    third of the graph of a training step.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def normed(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        output, mean, variance, *saved = _fused_tensorflow(x, gamma, beta, None, epsilon)

        def back(above: tf.Tensor, *_: tf.Tensor) -> Any:
            scale = gamma * tf.math.rsqrt(variance + epsilon)
            found = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=gradient(x, scale, beta - mean * scale, above),
                x=x,
                scale=gamma,
                reserve_space_1=saved[0],
                reserve_space_2=saved[1],
                reserve_space_3=saved[2],
                epsilon=epsilon,
            )
            return found[:3]

        # Not `tf.nn.silu`, which has a separate gradient.
        return (output * tf.sigmoid(output), mean, variance), back

    @tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
    def gradient(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, above: tf.Tensor) -> tf.Tensor:
        y = tf.cast(tf.cast(x, "float32") * scale + shift, dtype)
        share = tf.sigmoid(y)
        return above * (share * (1 + y * (1 - share)))

    maps, channels = tf.TensorSpec([None] * 4, dtype), tf.TensorSpec([None], "float32")

    @tf.function(input_signature=[maps, *[channels] * 4], autograph=False)
    def run(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, *moving: tf.Tensor) -> Any:
        output, *measured = normed(x, gamma, beta)
        mean, variance = (
            momentum * before + (1 - momentum) * tf.stop_gradient(now)
            for before, now in zip(moving, measured, strict=True)
        )
        return output, mean, variance

    found: Callable[..., Any] = run
    return found


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


_FUSED: dict[str, Fused] = {"tensorflow": _tensorflow, "torch": _torch}
