"""The one file that reaches below Keras's public names, each time with its reason."""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
from keras.src import backend as keras_backend
from keras.src.backend import compute_output_spec
from keras.src.backend.common import global_state, stateless_scope
from keras.src.backend.common.variables import AutocastScope
from keras.src.ops.numpy import Add as SymbolicAdd
from keras.src.random import seed_generator
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from keras.src.utils.naming import to_snake_case
from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED

__all__ = [
    "SymbolicAdd",
    "dtype_policy",
    "fill",
    "fresh_names",
    "global_seed_state",
    "has_automatic_name",
    "is_only_its_weights",
    "is_weightless",
    "random_operations",
    "replay",
    "seed_everything",
    "traced_by_backend",
    "weightless",
    "without_autocast",
    "without_new_calls",
]
"""`SymbolicAdd` is what `+` and `keras.ops.add` run on symbolic tensors; tests watch it."""

_PENDING = "uninitialized_variables"
_NAME_COUNTERS = "object_name_uids"


@contextmanager
def weightless() -> Iterator[list[keras.Variable]]:
    """Inside, layers are built without memory for their variables.

    `StatelessScope(initialize_variables=False)` defers the making of values; without the clean-up
    here the deferred variables would all be made at the end of the next scope of that kind. Seeds
    that layers draw inside are put back, so that a model's weights never depend on what was traced.

    Yields:
        A list, which afterwards holds the variables that were made. They have no values: they are
        dropped, or made usable by `fill`.
    """
    before = list(global_state.get_global_attribute(_PENDING, []))
    seeds = random.getstate()
    made: list[keras.Variable] = []
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield made
    finally:
        random.setstate(seeds)
        made += global_state.get_global_attribute(_PENDING, [])[len(before) :]
        global_state.set_global_attribute(_PENDING, before)


def fill(
    model: keras.Model, variables: list[keras.Variable], values: Mapping[str, np.ndarray]
) -> None:
    """Makes a model that was built `weightless()` usable.

    Random values would be drawn for nothing, and JAX compiles their drawing for every shape. What
    is no weight, as a layer's seed, takes its own first value.

    Args:
        model: built inside `weightless()`.
        variables: those that `weightless()` counted.
        values: path of a weight -> its value; other weights are 0, to be read from a file.
    """
    for weight in model.weights:
        weight._initializer = partial(_given, values.get(weight.path))
    for variable in variables:
        variable._deferred_initialize()
    if keras.backend.backend() == "torch":
        for layer in model._flatten_layers():
            layer._track_variables()  # PyTorch's module, which Keras leaves out without values
            if hasattr(layer, "lay_out"):
                layer.lay_out()


def _given(value: np.ndarray | None, shape: Any, dtype: str) -> Any:
    # NumPy's zeros take no memory until they are written, and JAX compiles nothing for them.
    value = np.zeros(shape, np.float32) if value is None else value
    return keras.ops.convert_to_tensor(value, dtype=dtype)


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
    """Whether a model is whole once its weights have their values; all are of 32 bits then.

    It is not where a layer has a seed, an asset, or a way of its own to load variables.
    """
    if len(model.variables) != len(model.weights):
        return False
    if any(keras.backend.standardize_dtype(weight.dtype) != "float32" for weight in model.weights):
        return False
    return all(
        type(layer).load_own_variables in _PLAIN and not hasattr(layer, "load_assets")
        for layer in model._flatten_layers()
    )


def seed_everything(seed: int) -> None:
    """What `keras.utils.set_random_seed` does, without importing TensorFlow for it.

    On PyTorch and JAX that import alone would take three seconds and 400 MiB, for a seed that
    nothing there reads.

    Args:
        seed: not negative, below 2**32.
    """
    if "tensorflow" in sys.modules or keras.backend.backend() == "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, seed)
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
    random.seed(seed)
    np.random.seed(seed)
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(seed)


def global_seed_state() -> keras.Variable:
    """State of the generator that Keras uses where no seed is given, made if it is not there."""
    return seed_generator.global_seed_generator().state


def random_operations() -> Any:
    """The backend's module of random operations; each calls its `draw_seed`."""
    return keras_backend.random


def is_weightless() -> bool:
    """Whether variables made now have no values, as inside `weightless()`."""
    scope = stateless_scope.get_stateless_scope()
    return scope is not None and not scope.initialize_variables


@contextmanager
def dtype_policy(policy: str | None) -> Iterator[None]:
    """Inside, layers are made with this policy; None leaves the one in force.

    Public names only; it stands here because Keras has a setter but no scope.
    """
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy or before)
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def without_autocast() -> Iterator[None]:
    """Inside, variables are read in their own precision, also within a layer of a mixed one."""
    with AutocastScope(None):
        yield


@contextmanager
def fresh_names() -> Iterator[None]:
    """Inside, automatic layer names count from the start, so that paths never depend on the past.

    `keras.backend.reset_uids` would do so for good: names made afterwards outside could then clash
    with names made before.
    """
    before = global_state.get_global_attribute(_NAME_COUNTERS)
    global_state.set_global_attribute(_NAME_COUNTERS, defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(_NAME_COUNTERS, before or defaultdict(int))


@contextmanager
def without_new_calls(model: keras.Layer) -> Iterator[None]:
    """Inside, layers can be called on symbolic tensors; afterwards they do not remember it.

    A layer with two calls has no one `output`, and a model that is walked again would find both.
    """
    layers = {id(layer): layer for layer in model._flatten_layers()}.values()
    before = [(x, len(x._inbound_nodes), len(x._outbound_nodes)) for x in layers]
    try:
        yield
    finally:
        for layer, inbound, outbound in before:
            del layer._inbound_nodes[inbound:]
            del layer._outbound_nodes[outbound:]


def replay(model: keras.Model, inputs: Any) -> Any:
    """A functional model's outputs for other symbolic inputs, with the calls on the way.

    Calling the model itself would leave one call, of the model.
    """
    return model._run_through_graph(inputs, operation_fn=lambda operation: operation)


def traced_by_backend(call: Any, given: Any) -> Any:
    """The output of `call` on symbolic tensors, traced as the backend itself does.

    On TensorFlow unknown sides stay unknown, as in the graph that a model runs in.
    """
    return compute_output_spec(call, given)


def has_automatic_name(layer: keras.Layer) -> bool:
    """Whether Keras made up the layer's name: its class in snake case, perhaps with a number."""
    name = to_snake_case(type(layer).__name__)
    rest = layer.name.removeprefix(name)
    return layer.name.startswith(name) and (not rest or rest.lstrip("_").isdigit())
