"""Check of the first training steps: every weight must start to learn from its initial value."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from visiongarden.testing.arrays import is_float, leaves, numpy_leaves
from visiongarden.testing.checks.gradients import compute_gradients
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.subject import Subject

_STEPS = 5
_ROUNDING = 1e-5
"""Gradients below this fraction of the largest one are rounding errors (random weights)."""


def learns(subject: Subject) -> Finding:
    """Check that every trainable weight gets a gradient within a few steps from its initial value.

    The check `gradients` uses randomized weights, so it does not notice a product whose factors are
    both initialized to zero: neither ever gets a gradient. Here, each step updates the weights that
    have a gradient, so that a branch behind a single zero (LoRA, ReZero, a zero-initialized scale)
    starts to learn in the second step.
    """
    layer = subject.fresh()
    if not subject.is_graph:
        subject.call(layer)
    variables = layer.trainable_variables
    if not variables:
        return skipped("no trainable variables")
    if not any(is_float(leaf) for leaf in leaves(subject.inference)):
        return skipped("no floating-point output")
    waiting = {v.path for v in variables}
    for step in range(_STEPS):
        # Training and inference alternate, because a weight may have an effect in one of them only.
        found, _ = compute_gradients(layer, subject.tensors(), step % 2 == 0)
        reached = set()
        for variable, gradient in zip(variables, found, strict=True):
            if gradient is not None and gradient.any():
                reached.add(variable.path)
                _move(variable, gradient)
        if not waiting - reached:
            return passed(f"all {len(variables)} trainable variables within {step + 1} step(s)")
        if step >= 2 and not reached & waiting:
            break
        waiting -= reached
    names = sorted(waiting & _with_random_gradient(subject, [v.path for v in variables]))
    if not names:
        return passed("all weights that can get a gradient get one from the initial weights")
    return failed(
        f"{', '.join(names[:4])} never receive a gradient from the initial weights, but do from "
        "random weights",
        "a product cannot learn while both factors are 0: initialize one with zeros, not both; "
        "otherwise, an activation may be saturated at the start",
    )


def _with_random_gradient(subject: Subject, paths: list[str]) -> set[str]:
    """Return the paths of weights whose gradient exceeds rounding errors if all weights are random.

    A weight without a gradient there (such as the bias of the keys in attention) never gets one,
    so its initial value is not the cause.
    """
    found, _ = compute_gradients(subject.main, subject.tensors(), True)
    sizes = [0.0 if g is None else float(np.abs(g).max(initial=0)) for g in found]
    max_size = max(sizes, default=0.0)
    # `paths` belong to another instance, whose weights have the same order.
    return {path for path, size in zip(paths, sizes, strict=True) if size > _ROUNDING * max_size}


def _move(variable: Any, gradient: np.ndarray) -> None:
    value = numpy_leaves([variable.value])[0]
    # Normalized, so that the step is visible whatever the scale of the gradient.
    step = 0.1 * gradient / (np.abs(gradient).max() + 1e-12)
    variable.assign(keras.ops.cast(value - step, variable.dtype))
