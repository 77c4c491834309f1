"""Values and gradients of a function of tensors, compiled on TensorFlow and JAX.

**Why.** Keras has no function that differentiates on every backend. **Gain:** correctness: `check`
compares the gradients of losses. **Switch:** none; no private names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

Compiled = Callable[[list[np.ndarray]], tuple[float, list[np.ndarray | None]]]


def value_and_gradients(function: Callable[[list[Any]], Any]) -> Compiled:
    """Transform a scalar function of tensors into one that also returns its gradients.

    Args:
        function: Maps a list of tensors to a scalar tensor.

    Returns:
        A function that maps a list of arrays to the scalar value and a gradient for each array. A
        gradient is None if the value does not depend on the array; on JAX it is zeros instead.
    """
    engine = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    return engine(function)


def _tensorflow(function: Callable[[list[Any]], Any]) -> Compiled:
    import tensorflow as tf

    @tf.function(autograph=False)
    def run(tensors: list[Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(list(tensors))
        return value, tape.gradient(value, tensors)

    def answer(arrays: list[np.ndarray]) -> tuple[float, list[np.ndarray | None]]:
        value, found = run([tf.constant(array) for array in arrays])
        gradients = [None if g is None else tf.convert_to_tensor(g).numpy() for g in found]
        return float(value), gradients

    return answer


def _jax(function: Callable[[list[Any]], Any]) -> Compiled:
    import jax

    run = jax.jit(jax.value_and_grad(function))

    def answer(arrays: list[np.ndarray]) -> tuple[float, list[np.ndarray | None]]:
        value, found = run(arrays)
        return float(value), [np.asarray(gradient) for gradient in found]

    return answer


def _torch(function: Callable[[list[Any]], Any]) -> Compiled:
    import torch

    def answer(arrays: list[np.ndarray]) -> tuple[float, list[np.ndarray | None]]:
        tensors = [keras.ops.convert_to_tensor(a).detach().requires_grad_() for a in arrays]
        value = function(tensors)
        if not value.requires_grad:
            return float(value), [None] * len(tensors)
        found = torch.autograd.grad(value, tensors, allow_unused=True)
        return float(value.detach()), [None if g is None else g.cpu().numpy() for g in found]

    return answer
