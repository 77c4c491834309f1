"""Values and gradients of a function of tensors, compiled on TensorFlow and JAX.

**Why.** Keras has no function that differentiates on every backend. **Gain:** correctness: `check`
compares gradients. **Switch:** none; no private names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from visiongarden.backends.tracing import traced_once

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

    @traced_once
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


def gradients_of(
    loss: Callable[[list[Any]], Any],
    variables: list[keras.Variable],
    inputs: list[Any],
    floats: list[int],
) -> tuple[list[Any], list[Any]]:
    """Return the gradients of a scalar for variables and tensors, as arrays.

    Args:
        loss: Function of the tensors that returns a scalar tensor, or a number if it depends on
            none of them.
        variables: Variables that `loss` reads.
        inputs: The tensors.
        floats: Positions of the tensors that are floats; the others have no gradient.

    Returns:
        A gradient for each variable and for each tensor, or None if the scalar does not depend on
        it.
    """
    engines = {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}
    weights = [variable.value for variable in variables]
    found = engines[keras.backend.backend()](loss, variables, weights, inputs, floats)
    if found is None:
        return [None] * len(weights), [None] * len(inputs)
    of_floats = dict(zip(floats, found[len(weights) :], strict=True))
    return found[: len(weights)], [of_floats.get(i) for i in range(len(inputs))]


def _of_tensorflow(
    loss: Any, variables: Any, weights: list[Any], inputs: list[Any], floats: list[int]
) -> list[Any] | None:
    import tensorflow as tf

    watched = [inputs[i] for i in floats]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = loss(inputs)
    if not tf.is_tensor(value):
        return None
    found = tape.gradient(value, [*weights, *watched])
    return [None if g is None else tf.convert_to_tensor(g).numpy() for g in found]


def _of_jax(
    loss: Any, variables: Any, weights: list[Any], inputs: list[Any], floats: list[int]
) -> list[Any] | None:
    import jax

    def scalar(values: list[Any], given: list[Any]) -> Any:
        full = list(inputs)
        for position, tensor in zip(floats, given, strict=True):
            full[position] = tensor
        # `stateless_call` would pass `training` to a `call` that may not accept it.
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return loss(full)

    found = jax.grad(scalar, argnums=(0, 1))(weights, [inputs[i] for i in floats])
    return [np.asarray(gradient) for part in found for gradient in part]


def _of_torch(
    loss: Any, variables: Any, weights: list[Any], inputs: list[Any], floats: list[int]
) -> list[Any] | None:
    import torch

    full = list(inputs)
    for i in floats:
        full[i] = inputs[i].detach().clone().requires_grad_()
    value = loss(full)
    if not torch.is_tensor(value) or not value.requires_grad:
        return None
    tensors = [*weights, *(full[i] for i in floats)]
    found = torch.autograd.grad(value, tensors, allow_unused=True)
    return [None if g is None else g.detach().cpu().numpy() for g in found]
