"""Watching Keras while a layer runs: variables made, attributes set, seeds used, additions."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras

from visiongarden.backends.keras_internals import SymbolicAdd, random_operations
from visiongarden.testing.explain import is_of_person


@contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Inside, `owner.name` is `make(owner.name)`."""
    before = getattr(owner, name)
    setattr(owner, name, make(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def variables_made() -> Iterator[list[keras.Variable]]:
    """Inside, every `keras.Variable` that is made is listed.

    Keras's own generator of random seeds, made at its first use, is made before.
    """
    keras.random.uniform((1,))
    made: list[keras.Variable] = []

    def watching(original: Any) -> Any:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            made.append(self)
            original(self, *args, **kwargs)

        return __init__

    with replaced(keras.Variable, "__init__", watching):
        yield made


RESERVED = frozenset(
    {
        "_auto_config", "_call_signature", "_called", "_dtype_policy", "_inbound_nodes",
        "_layers", "_lock", "_loss_ids", "_losses", "_losses_override", "_metrics",
        "_non_trainable_variables", "_outbound_nodes", "_parent_path", "_path",
        "_seed_generators", "_tracker", "_trainable", "_trainable_variables",
        "add_loss", "add_metric", "add_variable", "add_weight", "build_from_config", "call",
        "compute_output_shape", "compute_output_spec", "count_params", "from_config",
        "get_build_config", "get_config", "get_weights", "load_own_variables",
        "save_own_variables", "set_weights", "stateless_call", "symbolic_call",
    }
)  # fmt: skip
"""Attributes of `keras.layers.Layer` that it reads itself; a layer that assigns one loses what is
in it, or what Keras kept there."""


@contextmanager
def attributes_set() -> Iterator[list[tuple[str, str]]]:
    """Inside, assignments of the user's code to names in `RESERVED` are listed with their place."""
    found: list[tuple[str, str]] = []

    def watching(original: Any) -> Any:
        def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
            if name in RESERVED:
                frame = sys._getframe(1)
                # A base of ours, as Composite, hands the assignment on.
                while frame.f_back is not None and frame.f_code.co_name == "__setattr__":
                    frame = frame.f_back
                if is_of_person(frame.f_code.co_filename):
                    place = f" at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                    found.append((name, place))
            original(self, name, value)

        return __setattr__

    with replaced(keras.layers.Layer, "__setattr__", watching):
        yield found


@contextmanager
def fixed_seeds() -> Iterator[list[tuple[int, str]]]:
    """Inside, integer seeds that reach Keras's random operations are listed with their place."""
    found: list[tuple[int, str]] = []

    def watching(original: Any) -> Any:
        def draw_seed(seed: Any) -> Any:
            if isinstance(seed, int):
                place = _place()
                found.append((seed, "" if place == "the graph" else f" at {place}"))
            return original(seed)

        return draw_seed

    with replaced(random_operations(), "draw_seed", watching):
        yield found


@contextmanager
def additions(whole: Any) -> Iterator[list[tuple[tuple[Any, ...], tuple[Any, ...], str]]]:
    """Inside, every addition of two symbolic tensors is listed: both shapes and the place.

    Layers of the person's own run their `call` on symbolic tensors, also those that state their
    output shape, so that what is inside is seen; `whole` must be able to.
    """
    closed: set[int] = set()
    found: list[tuple[tuple[Any, ...], tuple[Any, ...], str]] = []

    def note(tensors: Any) -> None:
        tensors = [t for t in tensors if isinstance(t, keras.KerasTensor)]
        for one, other in pairwise(tensors):
            found.append((tuple(one.shape), tuple(other.shape), _place()))

    def adding(original: Any) -> Any:
        def compute_output_spec(self: Any, x1: Any, x2: Any) -> Any:
            note((x1, x2))
            return original(self, x1, x2)

        return compute_output_spec

    def merging(original: Any) -> Any:
        def compute_output_spec(self: Any, inputs: Any) -> Any:
            note(inputs)
            return original(self, inputs)

        return compute_output_spec

    def opening(original: Any) -> Any:
        def compute_output_spec(self: Any, *args: Any, **kwargs: Any) -> Any:
            if type(self).__module__.split(".")[0] == "keras" or id(self) in closed:
                return original(self, *args, **kwargs)
            try:
                return self.call(*args, **kwargs)
            except Exception:
                # It speaks to the backend directly; what is inside stays unseen.
                if self is whole:
                    raise
                closed.add(id(self))
                return original(self, *args, **kwargs)

        return compute_output_spec

    with (
        replaced(SymbolicAdd, "compute_output_spec", adding),
        replaced(keras.layers.Add, "compute_output_spec", merging),
        replaced(keras.layers.Layer, "compute_output_spec", opening),
    ):
        yield found


def _place() -> str:
    for frame in reversed(traceback.extract_stack()):
        if is_of_person(frame.filename):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return "the graph"
