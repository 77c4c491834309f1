"""All imports of private modules of Keras, each with its reason.

A new version of Keras may move or rename them without notice. The rest of the package imports
public modules only.
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, runtime_checkable

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
    "graph_of",
    "has_automatic_name",
    "history_of",
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
"""`SymbolicAdd` is the operation behind `+` and `keras.ops.add` on symbolic tensors; `check`
watches it to find additions that broadcast."""

_PENDING = "uninitialized_variables"
_NAME_COUNTERS = "object_name_uids"


@contextmanager
def weightless() -> Iterator[list[keras.Variable]]:
    """Build layers without memory for their variables inside this context.

    Shapes, parameters and MACs of a model are computed in this way before a weight exists.
    `StatelessScope(initialize_variables=False)` postpones the initialization of variables. Without
    the cleanup at the end, Keras would initialize all postponed variables when the next scope of
    this type ends. The state of Python's random generator, from which Keras draws the seeds of
    layers, is restored, so that tracing does not change the weights of models that are created
    later.

    Yields:
        A list that contains the created variables after the context. They have no values; discard
        them, or initialize them with `fill`.
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
    for weight in model.weights:
        weight._initializer = partial(_given, values.get(weight.path))
    for variable in variables:
        variable._deferred_initialize()
    if keras.backend.backend() == "torch":
        for layer in model._flatten_layers():
            # Keras registers variables as parameters of the PyTorch module only once they have
            # values; without this, the module would have no parameters.
            layer._track_variables()
            if isinstance(layer, _LaidOut):
                layer.lay_out()


def _given(value: np.ndarray | None, shape: Any, dtype: str) -> Any:
    # NumPy's zeros need no memory until they are written, and no compilation on JAX.
    value = np.zeros(shape, np.float32) if value is None else value
    return keras.ops.convert_to_tensor(value, dtype=dtype)


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
        for layer in model._flatten_layers()
    )


def history_of(tensor: Any) -> Any:
    """Return the operation, node and position that output a symbolic tensor; None for a value."""
    # A tensor of the backend, such as a constant in the graph, has no such attribute.
    return getattr(tensor, "_keras_history", None)


def graph_of(model: keras.Model) -> keras.Model | None:
    """Return the functional model that computes a model; None if it is subclassed or not built."""
    inner = model._functional if isinstance(model, keras.Sequential) else model
    # Only functional models have inputs and outputs.
    return inner if getattr(inner, "inputs", None) and getattr(inner, "outputs", None) else None


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy, Keras and the backend, without importing TensorFlow for it.

    `keras.utils.set_random_seed` imports TensorFlow if it is installed. On PyTorch and JAX that
    costs three seconds and 400 MiB, for a seed that nothing there uses.

    Args:
        seed: 0 to 2**32 - 1.
    """
    if "tensorflow" in sys.modules or keras.backend.backend() == "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    # The global generator of Keras is created from the seed when it is used next.
    global_state.set_global_attribute(GLOBAL_RANDOM_SEED, seed)
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
    random.seed(seed)
    np.random.seed(seed)
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(seed)


def global_seed_state() -> keras.Variable:
    """Return the state of Keras's global seed generator, which is created if necessary."""
    return seed_generator.global_seed_generator().state


def random_operations() -> Any:
    """Return the module of random operations of the backend, all of which call its `draw_seed`."""
    return keras_backend.random


def is_weightless() -> bool:
    """Return whether variables are currently created without values, as inside `weightless()`."""
    scope = stateless_scope.get_stateless_scope()
    return scope is not None and not scope.initialize_variables


@contextmanager
def dtype_policy(policy: str | None) -> Iterator[None]:
    """Create layers with a dtype policy inside this context; None keeps the current one.

    Keras has a setter for the global policy, but no context manager. On leaving, the previous
    policy is restored, also if it was changed inside.
    """
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy or before)
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def without_autocast() -> Iterator[None]:
    """Read variables in their own dtype inside this context, also in a mixed-precision layer."""
    with AutocastScope(None):
        yield


_COMPILE_STATE = (
    *("compiled", "optimizer", "loss", "loss_weights", "stop_training", "steps_per_execution"),
    *("train_function", "test_function", "predict_function"),
    *("_jit_compile", "_run_eagerly", "_compile_loss", "_compile_metrics", "_compile_config"),
    *("_loss_tracker", "_compiled_trainable_state", "_initial_epoch"),
)


@contextmanager
def own_compile_state(model: keras.Model) -> Iterator[None]:
    """Let a model be compiled and trained, and give it back as it was compiled before.

    Without it, a model that was trained with the optimizer of a run would be saved with that
    optimizer, which takes up to three times the space of the weights.
    """
    state: Any = vars(model)
    before = {name: state[name] for name in _COMPILE_STATE if name in state}
    try:
        yield
    finally:
        for name in _COMPILE_STATE:
            state.pop(name, None)
        state.update(before)


@contextmanager
def fresh_names() -> Iterator[None]:
    """Number automatic layer names from the start inside this context.

    The paths of weights then do not depend on the layers that were created before.
    `keras.backend.reset_uids` would reset the numbering permanently: layers that are created later
    could get the names of existing ones.
    """
    before = global_state.get_global_attribute(_NAME_COUNTERS)
    global_state.set_global_attribute(_NAME_COUNTERS, defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(_NAME_COUNTERS, before or defaultdict(int))


@contextmanager
def without_new_calls(model: keras.Layer) -> Iterator[None]:
    """Call layers on symbolic tensors inside this context without leaving a trace in them.

    A layer that was called twice has no single `output`, and walking through the model would find
    both calls.
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
    """Apply the layers of a functional model to other symbolic inputs, and return the outputs.

    Each layer records its own call; calling the model would record one call of the model.
    """
    return model._run_through_graph(inputs, operation_fn=lambda operation: operation)


def traced_by_backend(call: Any, given: Any) -> Any:
    """Return the output of `call` on symbolic tensors, traced by the backend.

    On TensorFlow, unknown dimensions remain unknown, as in the graph of a model that runs.
    """
    return compute_output_spec(call, given)


def has_automatic_name(layer: keras.Layer) -> bool:
    """Return whether Keras chose the layer's name: its class in snake case, perhaps numbered."""
    name = to_snake_case(type(layer).__name__)
    rest = layer.name.removeprefix(name)
    return layer.name.startswith(name) and (not rest or rest.lstrip("_").isdigit())
