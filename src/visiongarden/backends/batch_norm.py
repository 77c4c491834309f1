"""Fused batch normalization of TensorFlow and PyTorch.

**Why.** Keras computes moments, scale and shift as separate operations, each of which reads and
writes the whole feature map; on JAX, XLA fuses them by itself. **Gain:** on a CPU, a 1×1
convolution with norm and SiLU, forward and backward: TensorFlow ×1.18, PyTorch ×3.0
(benchmarks/RESULTS.md, Speed). **Switch:** `fused_norms`, for the computation of Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import keras

from visiongarden.backends.switches import is_on
from visiongarden.types import Tensor

if TYPE_CHECKING:
    import torch

_Count = TypeVar("_Count", Tensor, float)

Fused: TypeAlias = Callable[..., tuple[Any, Any, Any]]
"""`fused(x, gamma, beta, (mean, variance), epsilon, learns) -> (output, mean, variance)`.

With `learns`, the statistics of the batch are used and returned; the variance is that of Keras,
divided by n.
"""


def fused_norm() -> Fused | None:
    """Return the fused operation of the backend for (batch, height, width, channels), or None."""
    return _FUSED.get(keras.backend.backend()) if is_on("fused_norms") else None


def _tensorflow(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    moving: tuple[Tensor, Tensor],
    epsilon: float,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    import tensorflow as tf

    # In training the operation requires empty moving averages; the layer applies Keras's update.
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


_FUSED: dict[str, Fused] = {"tensorflow": _tensorflow, "torch": _torch}
