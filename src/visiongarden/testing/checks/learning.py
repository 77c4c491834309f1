"""Check of the first training steps: every weight must start to learn from its initial value."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from visiongarden.testing.arrays import is_float, leaves, numpy_leaves
from visiongarden.testing.checks.gradients import derived
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
        return skipped("no trainable variable")
    if not any(is_float(leaf) for leaf in leaves(subject.inference)):
        return skipped("no output of floats")
    waiting = {v.path for v in variables}
    for step in range(_STEPS):
        # Training and inference alternate, because a weight may have an effect in one of them only.
        found, _ = derived(layer, subject.tensors(), step % 2 == 0)
        woken = set()
        for variable, gradient in zip(variables, found, strict=True):
            if gradient is not None and gradient.any():
                woken.add(variable.path)
                _move(variable, gradient)
        if not waiting - woken:
            return passed(f"all {len(variables)} trainable variables within {step + 1} step(s)")
        if step >= 2 and not woken & waiting:
            break
        waiting -= woken
    names = sorted(waiting & _follow_randomly(subject, [v.path for v in variables]))
    if not names:
        return passed("all weights that have a gradient at all have one from the start")
    return failed(
        f"from the initial weights {', '.join(names[:4])} never get a gradient, which they do from "
        "random ones",
        "a product learns nothing while both factors are 0: initialize one with zeros, not both; "
        "else a unit that is saturated or cut off at the start",
    )


def _follow_randomly(subject: Subject, paths: list[str]) -> set[str]:
    """Return the paths of weights whose gradient exceeds rounding errors if all weights are random.

    A weight without a gradient there (such as the bias of the keys in attention) never gets one,
    so its initial value is not the cause.
    """
    found, _ = derived(subject.main, subject.tensors(), True)
    sizes = [0.0 if g is None else float(np.abs(g).max(initial=0)) for g in found]
    most = max(sizes, default=0.0)
    # `paths` belong to another instance, whose weights have the same order.
    return {path for path, size in zip(paths, sizes, strict=True) if size > _ROUNDING * most}


def _move(variable: Any, gradient: np.ndarray) -> None:
    value = numpy_leaves([variable.value])[0]
    # Normalized, so that the step is visible whatever the scale of the gradient.
    step = 0.1 * gradient / (np.abs(gradient).max() + 1e-12)
    variable.assign(keras.ops.cast(value - step, variable.dtype))
