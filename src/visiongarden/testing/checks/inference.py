"""Checks of inference: it must run, trace, be repeatable and treat each image independently."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from visiongarden.backends.tracing import falls_back_to_numbers
from visiongarden.parts import FeaturePart
from visiongarden.testing.arrays import (
    TOLERANCE,
    difference,
    inputs_of,
    leaves,
    numpy_leaves,
    shapes,
)
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.hooks import additions
from visiongarden.testing.report import Finding, failed, passed
from visiongarden.testing.subject import Subject


def runs(subject: Subject) -> Finding:
    """Check that the subject can be built and called on arrays and returns finite values."""
    try:
        output = subject.inference
    except Exception as error:
        advice = "fix call(), or pass valid inputs and arguments: check(Cls, inputs=(2, 16, "
        return failed(describe(error), advice_for(error, advice + "24, 8), filters=8)"))
    arrays = numpy_leaves(output)
    if not arrays:
        return failed("call() returns no tensor", "return the result in call()")
    if not all(np.isfinite(a).all() for a in arrays if a.dtype.kind == "f"):
        return failed(
            "the outputs are not finite for standard normal inputs",
            "avoid roots, logarithms and divisions at 0, or pass inputs in the valid range",
        )
    return passed(f"{shapes(subject.arguments)} -> {shapes(output)}")


def traces(subject: Subject) -> Finding:
    """Check that the subject can be called on symbolic tensors, as functional models require."""
    try:
        if subject.is_part and isinstance(subject.part, FeaturePart):
            subject.part.spec(subject.features)  # raises if a level has the wrong stride
        output = subject.model(subject.second_instance[0] if subject.is_graph else subject.fresh())
        output.compute_output_spec(inputs_of(output))
    except Exception as error:
        return failed(
            describe(error), advice_for(error, "use keras.ops for every tensor in call()")
        )
    if falls_back_to_numbers() and (symbolic_error := _symbolic_error(subject)):
        return failed(
            describe(symbolic_error), advice_for(symbolic_error, "use keras.ops in call()")
        )
    return passed(f"a functional model of {len(output.layers)} layers")


def _symbolic_error(subject: Subject) -> Exception | None:
    """Return the error of a layer that uses tensor values in Python.

    On PyTorch, Keras falls back to running such a layer on numbers, so that an ordinary symbolic
    call succeeds although the layer fails on the other backends.
    """
    layer = subject.fresh()
    if not subject.is_graph:
        subject.call(layer)
    try:
        with additions(layer):
            layer.compute_output_spec(*subject.symbols())
    except (TypeError, ValueError, NotImplementedError) as error:
        words = ("as a boolean", "to a NumPy array", "Iterating over a symbolic")
        return error if any(word in str(error) for word in words) else None
    except Exception:
        return None  # the layer calls PyTorch directly, which is no error by itself
    return None


def repeatable(subject: Subject) -> Finding:
    """Check that inference gives the same outputs twice and changes no weight.

    The states of seed generators may change: Keras's recurrent layers advance theirs in inference.
    """
    layer = subject.main
    before = [np.array(array) for array in numpy_leaves([v.value for v in layer.weights])]
    first = numpy_leaves(subject.call(layer))
    again = numpy_leaves(subject.call(layer))
    if difference(first, again) > TOLERANCE / 10:
        return failed(
            f"two calls with the same input differ by {difference(first, again):.2g}",
            "use random numbers only in training, through a layer such as Dropout or under "
            "`if training:`",
        )
    after = numpy_leaves([v.value for v in layer.weights])
    changed = [
        v.path for v, a, b in zip(layer.weights, before, after, strict=True) if (a != b).any()
    ]
    if changed:
        return failed(
            f"inference changes {', '.join(changed[:4])}",
            "update state under `if training:` only, with call(self, x, training=False)",
        )
    return passed("equal outputs in two calls, no variable changes")


def batch_independence(subject: Subject) -> Finding:
    """Check that the outputs of an image do not depend on the other images in the batch.

    Each image is compared with itself in a batch of another order, and the first one in a batch of
    one.
    """
    layer = subject.main
    whole = numpy_leaves(subject.call(layer))
    size = len(leaves(subject.arguments)[0])
    # An output without the batch axis is allowed if symbolic tensors state it as well.
    has_batch = [a.ndim > 0 and a.shape[0] == size for a in whole]
    symbolic_batches = [leaf.shape[:1] for leaf in leaves(layer(*subject.symbols()))]
    lost = [
        a.shape
        for a, ok, s in zip(whole, has_batch, symbolic_batches, strict=True)
        if not ok and None in s
    ]
    if lost or not any(has_batch):
        return failed(
            f"a batch of {size} results in the shapes "
            f"{', '.join(map(str, lost or [a.shape for a in whole]))}",
            "keep the batch as the first axis: reshape to (ops.shape(x)[0], ...) or (-1, ...) with "
            "all other sides specified",
        )
    order = np.roll(np.arange(size), 1)
    other = subject.call(layer, keras.tree.map_structure(lambda a: a[order], subject.arguments))
    alone = subject.call(layer, keras.tree.map_structure(lambda a: a[:1], subject.arguments))
    kept = [a for a, ok in zip(whole, has_batch, strict=True) if ok]
    pairs: tuple[tuple[str, Any, Any], ...] = (
        ("in another order", [a[order] for a in kept], other),
        ("alone", [a[:1] for a in kept], alone),
    )
    worst = 0.0
    for condition, expected, output in pairs:
        got = [a for a, ok in zip(numpy_leaves(output), has_batch, strict=True) if ok]
        worst = max(worst, difference(expected, got))
        if worst > TOLERANCE:
            return failed(
                f"the output of an image {condition} differs by {worst:.2g} from that in the batch",
                "do not reshape, transpose or average over axis 0; use batch statistics only in "
                "training, as BatchNormalization does",
            )
    return passed(f"alone and in another order, outputs differ by at most {worst:.1g}")
