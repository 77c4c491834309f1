"""Activations: the gradient of SiLU in one pass, and activations that overwrite their input.

**Why.** TensorFlow computes the gradient of SiLU in six passes over the feature map, and Keras
never overwrites an input. **Gain:** TensorFlow: training step ×1.06 on a CPU; PyTorch: inference of
a 1×1 convolution with norm and SiLU ×1.07 on a CPU, without the memory of a second feature map
(benchmarks/RESULTS.md, Speed). **Switch:** `silu_gradient` and `in_place`, for the activations of
Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import keras

from visiongarden.backends.switches import is_on
from visiongarden.types import Tensor

if TYPE_CHECKING:
    import tensorflow as tf


def silu_in_training() -> Callable[[Tensor], Tensor] | None:
    """Return SiLU with the faster gradient of the backend, or None: the activation of Keras."""
    is_faster = keras.backend.backend() == "tensorflow" and is_on("silu_gradient")
    return _tensorflow_silu() if is_faster else None


@cache
def _tensorflow_silu() -> Callable[[Tensor], Tensor]:
    import tensorflow as tf

    # Feature maps of all sizes share one trace of the gradient.
    @tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
    def gradient(x: tf.Tensor, above: tf.Tensor) -> tf.Tensor:
        share = tf.sigmoid(x)
        return above * (share * (1 + x * (1 - share)))

    @tf.custom_gradient
    def silu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.nn.silu(x), lambda above: gradient(x, above)

    found: Callable[[Tensor], Tensor] = silu
    return found


def in_place_function(function: Callable[[Any], Any], x: Any) -> Callable[[Any], Any] | None:
    """Return an activation function that overwrites its input `x`, or None without one.

    Args:
        function: activation function of Keras.
        x: float tensor.
    """
    is_symbolic = isinstance(x, keras.KerasTensor)
    if keras.backend.backend() != "torch" or is_symbolic or not is_on("in_place"):
        return None
    import torch

    known = {
        keras.activations.silu: torch.nn.functional.silu,
        keras.activations.relu: torch.nn.functional.relu,
    }
    found = known.get(function)
    # With gradients enabled, autograd needs the input of the activation for the backward pass.
    if found is None or torch.is_grad_enabled() or x.device.type == "meta":
        return None
    return lambda x: found(x, inplace=True)
