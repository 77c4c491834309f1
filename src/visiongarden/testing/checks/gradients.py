"""Checks of gradients: they must reach every trainable variable and the inputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.backends.sublayers import added_losses
from visiongarden.testing.arrays import arrays_like, is_float, leaves, numpy_leaves
from visiongarden.testing.instances import randomize
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.subject import Subject

_SAMPLES = 3
"""Number of random sets of weights and inputs.

A unit may be inactive, with zero gradients, for one set; a bug gives zero gradients for all.
"""


def gradients(subject: Subject) -> Finding:
    """Check that every trainable variable gets a finite, nonzero gradient.

    It suffices that the gradient is nonzero in training or inference, for one of three random sets
    of weights and inputs. Only exact zeros fail the check, because some valid gradients (such as
    that of the bias of the keys in attention) are no larger than rounding errors.
    """
    layer = subject.main
    variables = layer.trainable_variables
    if not variables:
        return skipped("no trainable variables")
    if not any(is_float(leaf) for leaf in leaves(subject.call(layer))):
        return skipped("no floating-point output")
    missing = {v.path for v in variables}
    for seed in range(_SAMPLES):
        arguments = _sampled(subject, seed)
        for training in (True, False):
            if not missing:
                break
            found, _ = compute_gradients(layer, subject.tensors(arguments), training)
            for variable, gradient in zip(variables, found, strict=True):
                if gradient is not None and not np.isfinite(gradient).all():
                    return failed(
                        f"the gradient of {variable.path} is not finite",
                        "avoid roots, logarithms and divisions at 0: ops.sqrt(x + 1e-6)",
                    )
                if gradient is not None and gradient.any():
                    missing.discard(variable.path)
        if not missing:
            return passed(f"all {len(variables)} trainable variables, {seed + 1} sample(s)")
        randomize(layer, seed + 1)
    names = sorted(missing)
    return failed(
        f"{len(names)} of {len(variables)} trainable variables receive no gradient: "
        f"{', '.join(names[:4])}",
        "make the output depend on each through differentiable operations, or set trainable=False; "
        "rounding, argmax, casts to int, stop_gradient and NumPy block the gradient",
    )


def input_gradient(subject: Subject) -> Finding:
    """Check that the input gets a gradient if a small change of it changes the output."""
    if not all(is_float(leaf) for leaf in keras.tree.flatten(subject.arguments)):
        return skipped("the inputs are not floating-point")
    layer = subject.main
    base = subject.call(layer)
    if not any(is_float(leaf) for leaf in leaves(base)):
        return skipped("no floating-point output")
    rng = np.random.default_rng(1)
    perturbed = keras.tree.map_structure(
        lambda a: (a + 1e-2 * rng.normal(size=a.shape)).astype(a.dtype), subject.arguments
    )
    pairs = zip(numpy_leaves(base), numpy_leaves(subject.call(layer, perturbed)), strict=True)
    # The output of a layer that counts or rounds is constant nearly everywhere. Its gradient is
    # rightly zero.
    changes = [np.mean(a != b) for a, b in pairs if a.size]
    if max(changes, default=0) < 0.1:
        return skipped("the output does not change with small changes of the input")
    _, found = compute_gradients(layer, subject.tensors(), False)
    if all(gradient is None or not gradient.any() for gradient in found):
        return failed(
            "the output depends on the input, but the input receives no gradient: earlier layers "
            "cannot learn",
            "use keras.ops throughout; stop_gradient, .numpy() and NumPy block the gradient",
        )
    return passed("the input gets a gradient")


def compute_gradients(layer: Any, arguments: Any, training: bool) -> tuple[list[Any], list[Any]]:
    """Compute the gradients of a random projection of the outputs with the backend's autodiff.

    Losses that the layer adds by `add_loss` are included. The projection is random because the sum
    of some outputs, such as a softmax, is constant.

    Args:
        layer: Built layer or model.
        arguments: Positional arguments of `call` as tensors.
        training: Value of the `training` argument.

    Returns:
        Gradients for the trainable variables and for the leaves of the inputs, as arrays. A
        gradient is None if the loss does not depend on the tensor.
    """
    engine = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    return engine(layer, arguments, training)


def _sampled(subject: Subject, seed: int) -> Any:
    if seed == 0:
        return subject.arguments

    def sample(array: np.ndarray) -> np.ndarray:
        return arrays_like(array.shape, seed, len(array)) if is_float(array) else array[::-1].copy()

    return keras.tree.map_structure(sample, subject.arguments)


def _projected(outputs: Any) -> Any:
    rng = np.random.default_rng(0)
    total = 0.0
    for leaf in leaves(outputs):
        if is_float(leaf):
            weights = rng.normal(size=tuple(leaf.shape)).astype("float32")
            total = total + ops.sum(ops.cast(leaf, "float32") * ops.convert_to_tensor(weights))
    return total


def _added(layer: Any) -> Any:
    """Sum the losses that the call added by `add_loss`.

    Regularizers are left out: they give a gradient even to a weight that the layer never uses.
    """
    return sum((ops.cast(ops.sum(loss), "float32") for loss in added_losses(layer)), 0.0)


def _tensorflow(layer: Any, arguments: Any, training: bool) -> tuple[list[Any], list[Any]]:
    import tensorflow as tf

    inputs = leaves(arguments)
    with tf.GradientTape() as tape:
        for tensor in inputs:
            if is_float(tensor):
                tape.watch(tensor)
        loss = _projected(layer(*arguments, training=training)) + _added(layer)
    weights = [v.value for v in layer.trainable_variables]
    if not tf.is_tensor(loss):
        return [None] * len(weights), [None] * len(inputs)
    # Integer inputs have no gradient; a constant takes their place and gives None.
    found = tape.gradient(
        loss, [*weights, *(t if is_float(t) else tf.constant(0.0) for t in inputs)]
    )
    arrays = [None if g is None else tf.convert_to_tensor(g).numpy() for g in found]
    return arrays[: len(weights)], arrays[len(weights) :]


def _jax(layer: Any, arguments: Any, training: bool) -> tuple[list[Any], list[Any]]:
    import jax

    inputs = leaves(arguments)
    floats = [i for i, tensor in enumerate(inputs) if is_float(tensor)]
    variables = layer.trainable_variables

    def loss(weights: list[Any], given: list[Any]) -> Any:
        full = list(inputs)
        for position, tensor in zip(floats, given, strict=True):
            full[position] = tensor
        packed = keras.tree.pack_sequence_as(arguments, full)
        # `stateless_call` would pass `training` to a `call` that may not accept it.
        with keras.StatelessScope(state_mapping=list(zip(variables, weights, strict=True))):
            return _projected(layer(*packed, training=training)) + _added(layer)

    weights = [v.value for v in variables]
    of_weights, of_floats = jax.grad(loss, argnums=(0, 1))(weights, [inputs[i] for i in floats])
    of_inputs: list[Any] = [None] * len(inputs)
    for position, gradient in zip(floats, of_floats, strict=True):
        of_inputs[position] = np.asarray(gradient)
    return [np.asarray(g) for g in of_weights], of_inputs


def _torch(layer: Any, arguments: Any, training: bool) -> tuple[list[Any], list[Any]]:
    import torch

    def leaf(tensor: Any) -> Any:
        return tensor.detach().clone().requires_grad_() if is_float(tensor) else tensor

    arguments = keras.tree.map_structure(leaf, arguments)
    inputs = leaves(arguments)
    weights = [v.value for v in layer.trainable_variables]
    loss = _projected(layer(*arguments, training=training)) + _added(layer)
    if not torch.is_tensor(loss) or not loss.requires_grad:
        return [None] * len(weights), [None] * len(inputs)
    tensors = [*weights, *(tensor for tensor in inputs if tensor.requires_grad)]
    found = list(torch.autograd.grad(loss, tensors, allow_unused=True))
    arrays = [None if g is None else g.detach().cpu().numpy() for g in found]
    rest = iter(arrays[len(weights) :])
    return arrays[: len(weights)], [next(rest) if t.requires_grad else None for t in inputs]
