"""Checks of gradients: they must reach every trainable variable and the inputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from visiongarden.backends.gradients import gradients_of
from visiongarden.backends.sublayers import added_losses
from visiongarden.testing.arrays import arrays_like, is_float, leaves, numpy_leaves, packed
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
    inputs = leaves(arguments)
    floats = [i for i, tensor in enumerate(inputs) if is_float(tensor)]

    def loss(tensors: list[Any]) -> Any:
        return _projected(layer(*packed(arguments, tensors), training=training)) + _added(layer)

    return gradients_of(loss, layer.trainable_variables, inputs, floats)


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
