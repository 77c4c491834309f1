"""Checks of mixed precision: half-precision computation with float32 weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from visiongarden.backends.sublayers import with_sublayers
from visiongarden.testing.arrays import is_float, leaves, numpy_leaves
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.instances import randomize
from visiongarden.testing.report import Finding, failed, passed, skipped
from visiongarden.testing.subject import Subject


def mixed_bfloat16(subject: Subject) -> Finding:
    """Check that under `mixed_bfloat16` outputs are bfloat16 and finite, and variables float32."""
    return _mixed(subject, "bfloat16")


def mixed_float16(subject: Subject) -> Finding:
    """Check that under `mixed_float16` outputs are float16 and finite, and variables float32.

    Zeros are among the inputs: an epsilon of 1e-8 is 0 in float16.
    """
    return _mixed(subject, "float16")


def _mixed(subject: Subject, half: str) -> Finding:
    """Run a copy under a mixed policy on several inputs, in inference and training."""
    if not all(is_float(leaf) for leaf in leaves(subject.arguments)):
        return skipped("the inputs are not floating-point")
    if _is_plain_graph(subject):
        return skipped("a functional model keeps the policy under which it was built")
    advice = "cast to x.dtype or self.compute_dtype, never to a fixed dtype"
    try:
        layer = subject.fresh(f"mixed_{half}")
        output = subject.call(layer)
        randomize(layer)
        wrong = _wrong_dtypes(layer, output, half)
        if wrong:
            return failed(wrong, f"{advice}; the last sublayer may have dtype='float32'")
        if wrong := _fails_in_training(subject, layer, half):
            return failed(wrong, advice)
        for name, arguments in _probes(subject):
            half_output = subject.call(layer, arguments)
            if not _finite(half_output) and _finite(subject.call(subject.main, arguments)):
                return failed(
                    f"the outputs are not finite for {name}, but are in float32",
                    "float16 overflows above 65504 and underflows below 6e-8: compute "
                    "exponentials, squares and small epsilons in float32 and cast back, or use "
                    "1e-3",
                )
    except Exception as error:
        return failed(
            f"the layer fails under mixed_{half}: {describe(error)}", advice_for(error, advice)
        )
    if not any(is_float(leaf) for leaf in leaves(output)):
        return passed("variables are float32; no floating-point output")
    return passed(f"outputs are {half} and finite, variables are float32")


def _fails_in_training(subject: Subject, layer: Any, half: str) -> str | None:
    """Return evidence of an error, a wrong dtype or non-finite outputs in training mode only."""
    try:
        output = subject.call(layer, training=True)
    except Exception as error:
        return f"the layer fails under mixed_{half} with training=True: {describe(error)}"
    if wrong := _wrong_dtypes(layer, output, half):
        return f"with training=True {wrong}"
    if not _finite(output) and _finite(subject.call(subject.main, training=True)):
        return "the outputs are not finite with training=True, but are in float32"
    return None


def _wrong_dtypes(layer: Any, output: Any, half: str) -> str | None:
    for variable in layer.variables:
        if is_float(variable) and keras.backend.standardize_dtype(variable.dtype) != "float32":
            return f"variable {variable.path} is {variable.dtype}"
    # A sublayer with an explicit float32 policy, such as a final softmax, may return float32.
    policies = {sub.compute_dtype for sub in with_sublayers(layer)}
    allowed = {half} | ({"float32"} if "float32" in policies else set())
    for leaf in leaves(output):
        dtype = keras.backend.standardize_dtype(leaf.dtype)
        if is_float(leaf) and dtype not in allowed:
            return f"the output is {dtype}, but the compute dtype is {half}"
    return None


def _probes(subject: Subject) -> list[tuple[str, Any]]:
    """Return inputs by description: normal numbers, zeros and, for layers, large numbers."""

    def each(function: Any) -> Any:
        return keras.tree.map_structure(function, subject.arguments)

    found = [("normal numbers", subject.arguments), ("zeros", each(np.zeros_like))]
    # Whole networks are not tested with large inputs: images end at 1, and activations may grow
    # legitimately from layer to layer.
    if not subject.is_graph:
        found.append(("numbers up to 30", each(lambda a: (8 * a).astype(a.dtype))))
    return found


def _finite(output: Any) -> bool:
    return all(np.isfinite(a).all() for a in numpy_leaves(output) if a.dtype.kind == "f")


def _is_plain_graph(subject: Subject) -> bool:
    return subject.is_graph and not subject.is_part and subject.config is None
