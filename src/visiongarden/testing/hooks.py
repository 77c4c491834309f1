"""Hooks into Keras that record what a layer does while it is built and called.

The checks observe variables, attributes, seeds and additions where Keras creates them, rather than
reading the layer's source, so that they see through helper functions, base classes and sublayers.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras

from visiongarden.backends.graph import symbolic_add
from visiongarden.backends.random_state import random_operations
from visiongarden.backends.reserved_names import PRIVATE
from visiongarden.testing.explain import is_user_file


@contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Replace the attribute `owner.name` by `make(owner.name)` within the context.

    Args:
        owner: Class or module.
        name: Name of the attribute.
        make: Maps the original value to its replacement.
    """
    # Any method of Keras; the caller names it.
    before = getattr(owner, name)
    setattr(owner, name, make(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def variables_made() -> Iterator[list[keras.Variable]]:
    """Record every `keras.Variable` that is created within the context.

    Yields:
        A list to which the variables are appended.
    """
    # Keras creates its global seed generator, a variable, at the first use of a random operation.
    # Creating it now keeps it out of the list.
    keras.random.uniform((1,))
    created: list[keras.Variable] = []

    def recording(original: Any) -> Any:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            created.append(self)
            original(self, *args, **kwargs)

        return __init__

    with replaced(keras.Variable, "__init__", recording):
        yield created


RESERVED = PRIVATE | frozenset(
    {
        "add_loss", "add_metric", "add_variable", "add_weight", "build_from_config", "call",
        "compute_output_shape", "compute_output_spec", "count_params", "from_config",
        "get_build_config", "get_config", "get_weights", "load_own_variables",
        "save_own_variables", "set_weights", "stateless_call", "symbolic_call",
    }
)  # fmt: skip
"""Attributes that `keras.layers.Layer` uses itself. If a subclass assigns one, either its value or
Keras's own is lost."""


@contextmanager
def attributes_set() -> Iterator[list[tuple[str, str]]]:
    """Record assignments of the user's code to attributes in `RESERVED` within the context.

    Yields:
        A list to which (name, " at file.py:line") pairs are appended.
    """
    found: list[tuple[str, str]] = []

    def recording(original: Any) -> Any:
        def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
            if name in RESERVED:
                frame = sys._getframe(1)
                # Base classes such as Composite pass the assignment on to Keras.
                while frame.f_back is not None and frame.f_code.co_name == "__setattr__":
                    frame = frame.f_back
                if is_user_file(frame.f_code.co_filename):
                    place = f" at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                    found.append((name, place))
            original(self, name, value)

        return __setattr__

    with replaced(keras.layers.Layer, "__setattr__", recording):
        yield found


@contextmanager
def fixed_seeds() -> Iterator[list[tuple[int, str]]]:
    """Record integer seeds passed to Keras's random operations within the context.

    Yields:
        A list to which (seed, " at file.py:line") pairs are appended. The place is empty if no file
        of the user is on the stack.
    """
    found: list[tuple[int, str]] = []

    def recording(original: Any) -> Any:
        def draw_seed(seed: Any) -> Any:
            if isinstance(seed, int):
                place = _place()
                found.append((seed, "" if place == "the graph" else f" at {place}"))
            return original(seed)

        return draw_seed

    with replaced(random_operations(), "draw_seed", recording):
        yield found


@contextmanager
def additions(whole: Any) -> Iterator[list[tuple[tuple[Any, ...], tuple[Any, ...], str]]]:
    """Record every addition of two symbolic tensors within the context.

    Custom layers run their `call` on symbolic tensors, even if they define `compute_output_shape`,
    so that the additions inside them are recorded as well.

    Args:
        whole: Layer that is traced. Its `call` must run on symbolic tensors; sublayers whose `call`
            does not are traced by Keras's own shape inference.

    Yields:
        A list to which (first shape, second shape, "file.py:line") triples are appended.
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
                # The sublayer uses the backend's own functions, which refuse symbolic tensors.
                # Additions inside it are not recorded.
                if self is whole:
                    raise
                closed.add(id(self))
                return original(self, *args, **kwargs)

        return compute_output_spec

    with (
        replaced(symbolic_add(), "compute_output_spec", adding),
        replaced(keras.layers.Add, "compute_output_spec", merging),
        replaced(keras.layers.Layer, "compute_output_spec", opening),
    ):
        yield found


def _place() -> str:
    for frame in reversed(traceback.extract_stack()):
        if is_user_file(frame.filename):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return "the graph"
