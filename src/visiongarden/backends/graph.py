"""Graphs of symbolic tensors: which call of which layer output a tensor.

**Why.** Keras has no public access to the calls of a graph: `model.layers` lists the layers of
a model, not how they are connected, and a block made of layers has no model. **Gain:**
correctness: drawings, comparisons, found repeats, the conversion to Darknet and the rows of class
outputs follow the graph. **Switch:** none; an untested version of Keras is checked first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras

from visiongarden.backends.assumptions import require
from visiongarden.backends.sublayers import with_sublayers


def node_of(tensor: Any) -> Any:
    """Return the call that output a symbolic tensor; None for a value of the backend.

    A node has `operation`, `input_tensors`, `output_tensors` and `arguments` with `args` and
    `kwargs`.
    """
    require("graph")
    # A tensor of the backend, such as a constant in the graph, has no such attribute.
    history = getattr(tensor, "_keras_history", None)
    return None if history is None else history.operation._inbound_nodes[history.node_index]


def graph_of(model: keras.Model) -> keras.Model | None:
    """Return a model that has inputs and outputs; None if it is subclassed or not built."""
    # Only functional models and built sequential ones have inputs and outputs.
    has_both = getattr(model, "inputs", None) and getattr(model, "outputs", None)
    return model if has_both else None


@contextmanager
def without_new_calls(model: keras.Layer) -> Iterator[None]:
    """Call layers on symbolic tensors inside this context without leaving a trace in them.

    A layer that was called twice has no single `output`, and walking through the model would find
    both calls.
    """
    require("graph")
    layers = {id(layer): layer for layer in with_sublayers(model)}.values()
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
    pairs = zip(model.inputs, keras.tree.flatten(inputs), strict=True)
    known = {id(own): other for own, other in pairs}
    # A stack instead of recursion, whose limit a deep network would exceed.
    todo = list(reversed(model.outputs))
    while todo:
        node = None if id(todo[-1]) in known else node_of(todo[-1])
        missing = [] if node is None else [x for x in node.input_tensors if id(x) not in known]
        if missing:
            todo += missing
            continue
        todo.pop()
        if node is not None:
            results = keras.tree.flatten(_called(node, known))
            known |= {id(x): y for x, y in zip(node.output_tensors, results, strict=True)}
    structure = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    return keras.tree.map_structure(lambda x: known[id(x)], structure)


def _called(node: Any, known: dict[int, Any]) -> Any:
    """Call the operation of a node again, with other tensors in place of the known ones."""
    args, kwargs = keras.tree.map_structure(
        lambda x: known.get(id(x), x), (node.arguments.args, node.arguments.kwargs)
    )
    return node.operation(*args, **kwargs)


@cache
def symbolic_add() -> type:
    """Return the operation behind `+` and `keras.ops.add` on symbolic tensors.

    `check` watches it to find additions that broadcast.
    """
    one = keras.KerasTensor((1,))
    return type(node_of(keras.ops.add(one, one)).operation)
