"""Models without values: built for their shapes, or to be filled from a file.

**Why.** Keras initializes every weight when a layer is built; shapes, parameters and MACs need no
values, and a file overwrites them. **Gain:** no memory for weights; TensorFlow: a model of 44
million weights in 1.1 s of processor time instead of 4.0 (benchmarks/RESULTS.md, Speed); on JAX not
one compilation per shape. **Switch:** `weightless`; weights are then initialized first. Off with an
untested version of Keras.
"""

from __future__ import annotations

import functools
import math
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np

from visiongarden.backends.sublayers import with_sublayers
from visiongarden.backends.switches import is_on
from visiongarden.backends.versions import is_tested
from visiongarden.errors import UserError

_PENDING = "uninitialized_variables"
MAX_INITIALIZED = 2**29
"""Maximum number of elements of the weights of a model that is built with values, only to be read.

2 GiB in float32; the largest backbone of `keras.applications` has a sixth of it.
"""

_inside = ContextVar("_inside", default=False)
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def weightless(max_weights: int = MAX_INITIALIZED) -> Iterator[list[keras.Variable]]:
    """Build layers without memory for their variables inside this context.

    Shapes, parameters and MACs of a model are computed in this way before a weight exists.
    `StatelessScope(initialize_variables=False)` postpones the initialization of variables. Without
    the cleanup at the end, Keras would initialize all postponed variables when the next scope of
    this type ends. The state of Python's random generator, from which Keras draws the seeds of
    layers, is restored, so that tracing does not change the weights of models that are created
    later.

    Args:
        max_weights: Maximum number of elements of all weights if the fast path is off. Files and
            cfgs are untrusted, and the weights that they describe then need memory.

    Yields:
        A list that contains the created variables after the context. They have no values; discard
        them, or initialize them with `fill`. The list stays empty if the fast path is off: the
        variables then have their initial values.

    Raises:
        UserError: The fast path is off, and the weights have more than `max_weights` elements.
    """
    seeds = random.getstate()
    made: list[keras.Variable] = []
    token = _inside.set(True)
    try:
        with _postponed(made) if is_on("weightless") else _limited(max_weights):
            yield made
    finally:
        _inside.reset(token)
        random.setstate(seeds)


@contextmanager
def _postponed(made: list[keras.Variable]) -> Iterator[None]:
    from keras.src.backend.common import global_state

    before = list(global_state.get_global_attribute(_PENDING, []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        made += global_state.get_global_attribute(_PENDING, [])[len(before) :]
        global_state.set_global_attribute(_PENDING, before)


@contextmanager
def _limited(max_weights: int) -> Iterator[None]:
    """Refuse to create more weights than a number of elements inside this context."""
    original, thread, total = keras.Layer.add_weight, threading.get_ident(), 0

    @functools.wraps(original)
    def add_weight(self: keras.Layer, shape: Any = None, *args: Any, **kwargs: Any) -> Any:
        nonlocal total
        if threading.get_ident() == thread:
            total += math.prod(shape) if isinstance(shape, (tuple, list)) else shape or 1
            if total > max_weights:
                raise UserError(
                    "the model is too large to be built without reading it",
                    rule=f"weights of at most {max_weights:,} elements",
                    received=f"more than {total:,}",
                )
        return original(self, shape, *args, **kwargs)

    # Threads replace the method one after the other, or the first would restore it for all.
    with _ONE_AT_A_TIME:
        keras.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.Layer.add_weight = original


def is_weightless() -> bool:
    """Return whether the values of new variables do not matter, as inside `weightless()`."""
    return _inside.get()


@runtime_checkable
class _LaidOut(Protocol):
    """A layer that arranges its kernel in memory, such as `Convolution`."""

    def lay_out(self) -> None: ...


def fill(
    model: keras.Model, variables: list[keras.Variable], values: Mapping[str, np.ndarray]
) -> None:
    """Initialize the variables of a model that was built inside `weightless()`.

    Initializing with random values that are overwritten by a file costs time, and a compilation for
    every shape on JAX. Variables that are not weights, such as the seed of a layer, take their
    ordinary initial value.

    Args:
        model: model that was built inside `weightless()`.
        variables: the variables that `weightless()` yielded.
        values: path of a weight -> value; all other weights become 0, to be read from a file.
    """
    if not variables:
        for weight in model.weights:
            weight.assign(_given(values.get(weight.path), weight.shape, weight.dtype))
        return
    for weight in model.weights:
        weight._initializer = partial(_given, values.get(weight.path))
    for variable in variables:
        variable._deferred_initialize()
    if keras.backend.backend() == "torch":
        for layer in with_sublayers(model):
            # Keras registers variables as parameters of the PyTorch module only once they have
            # values; without this, the module would have no parameters.
            layer._track_variables()
            if isinstance(layer, _LaidOut):
                layer.lay_out()


def _given(value: np.ndarray | None, shape: Any, dtype: str) -> Any:
    # NumPy's zeros need no memory until they are written, and no compilation on JAX.
    value = np.zeros(shape, np.float32) if value is None else value
    return keras.ops.convert_to_tensor(value, dtype=dtype)


def raw_value(variable: keras.Variable) -> Any:
    """Return the value of a variable in its own dtype and memory, or None before there is one.

    `variable.value` would be a copy in a mixed-precision layer, and a new initial value before
    there is one. None with an untested version of Keras as well.
    """
    # A variable may be recorded before Keras's constructor, which sets `_value` or raises an error.
    return vars(variable).get("_value") if is_tested("keras") else None


@runtime_checkable
class _WithAssets(Protocol):
    """A custom layer that stores files; Keras's layers do not have the method."""

    def load_assets(self, directory: str) -> None: ...


# Implementations of `load_own_variables` that only assign weights.
_PLAIN = {
    kind.load_own_variables
    for kind in (
        keras.layers.Layer,
        keras.layers.Conv2D,
        keras.layers.DepthwiseConv2D,
        keras.layers.Dense,
    )
}


def is_only_its_weights(model: keras.Model) -> bool:
    """Return whether a model is complete once its weights have values, and all of them are float32.

    It is not if a layer has a seed, an asset, or a custom method to load its variables; the file is
    then read by Keras instead of weight by weight.
    """
    if len(model.variables) != len(model.weights):
        return False
    if any(keras.backend.standardize_dtype(weight.dtype) != "float32" for weight in model.weights):
        return False
    return all(
        type(layer).load_own_variables in _PLAIN and not isinstance(layer, _WithAssets)
        for layer in with_sublayers(model)
    )
