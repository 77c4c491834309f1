"""Tracing of functions on symbolic tensors by the backend.

**Why.** TensorFlow keeps unknown dimensions in the graph of a model that runs, JAX and PyTorch
replace them by numbers; a layer may work on one and fail on the other. **Gain:** correctness: a
layer that cannot be traced with unknown sizes is reported where it is written. **Switch:** none; no
private names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras


def counted_alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose traces TensorFlow counts for this object alone.

    TensorFlow warns of frequent traces of the same code, and counts those of all functions that one
    `def` makes together: five models that are traced once each would be reported.
    """
    # It counts by `__code__`, which this object does not have, or else by the object itself.
    return partial(function)


def keeps_unknown_sizes() -> bool:
    """Return whether heights and widths stay unknown in the graphs of the backend."""
    return bool(keras.backend.backend() == "tensorflow")


def falls_back_to_numbers() -> bool:
    """Return whether Keras runs a layer on numbers if it fails on symbolic tensors."""
    return bool(keras.backend.backend() == "torch")


def traced_by_backend(call: Callable[[Any], Any], given: Any) -> Any:
    """Return the output of `call` on symbolic tensors, traced by the backend.

    On TensorFlow, unknown dimensions remain unknown, as in the graph of a model that runs.
    """
    errors = []

    def watched(tensors: Any) -> Any:
        try:
            return call(tensors)
        except Exception as error:
            errors.append(error)
            raise

    try:
        return _Traced(watched).compute_output_spec(given)
    except Exception as error:
        # Keras would add advice about a class that the user did not write.
        raise (errors or [error])[0] from None


def traced_once(
    function: Callable[..., Any], jit_compile: bool | None = None
) -> Callable[..., Any]:
    """Return a function that TensorFlow traces once, and runs as a graph from then on.

    Args:
        function: Function of tensors.
        jit_compile: Whether XLA compiles the graph; None leaves it to TensorFlow.
    """
    import tensorflow as tf

    # Without AutoGraph, as in Keras: Python's control flow stays as it is.
    traced: Callable[..., Any] = tf.function(
        counted_alone(function), autograph=False, jit_compile=jit_compile
    )
    return traced


def jit_compiled(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return a function that XLA compiles, or None on PyTorch."""
    if keras.backend.backend() == "tensorflow":
        return traced_once(function, jit_compile=True)
    if keras.backend.backend() != "jax":
        return None
    import jax

    compiled: Callable[..., Any] = jax.jit(function)
    return compiled


class _Traced(keras.Operation):
    """Operation without a shape rule of its own, so that Keras traces its `call`."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(name="traced")
        self.function = function

    def call(self, given: Any) -> Any:
        """Return the output of the function."""
        return self.function(given)
