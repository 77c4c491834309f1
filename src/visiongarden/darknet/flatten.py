"""Flattening a Keras model to the calls of its layers and operations.

Blocks and sub-models are replaced by the layers inside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from visiongarden.backends.graph import node_of
from visiongarden.layers import Composite


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation.

    Attributes:
        layer: The layer, or an operation of `keras.ops`.
        inputs: Numbers of the tensors that it takes.
        outputs: Numbers of the tensors that it returns.
        path: Names of the enclosing blocks and of the layer, separated by slashes.
        shapes: Shapes of its inputs, batch first.
        arguments: Its positional arguments.
    """

    layer: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    path: str
    shapes: tuple[tuple[int | None, ...], ...]
    arguments: tuple[Any, ...] = ()


class Flattened:
    """The calls of a model in depth-first order from its outputs. Tensor 0 is the image.

    Darknet's layers take the output of the previous layer. In this order most inputs of a call are
    computed by the call before it, so that few [route] sections are needed.

    Args:
        model: A functional model with one input.
        outputs: The model's outputs, in the order in which they are to be computed.

    Attributes:
        calls: The calls in order.
    """

    def __init__(self, model: keras.Model, outputs: Sequence[Any]) -> None:
        self.calls: list[Call] = []
        self._count = 1
        self._scopes: dict[int, _Scope] = {}
        top = _Scope("", {id(model.inputs[0]): 0})
        for output in outputs:
            self._reach(output, top)

    def _reach(self, wanted: Any, top: _Scope) -> None:
        # A stack instead of recursion, whose limit a deep network would exceed.
        todo = [(wanted, top)]
        while todo:
            tensor, scope = todo[-1]
            missing = [] if id(tensor) in scope.known else self._missing(tensor, scope)
            if missing:
                todo += reversed(missing)
            else:
                todo.pop()

    def _missing(self, tensor: Any, scope: _Scope) -> list[tuple[Any, _Scope]]:
        """Return the tensors to compute before `tensor`; if there is no such tensor, compute it."""
        if id(tensor) in scope.inputs:
            return self._copied(tensor, scope, *scope.inputs[id(tensor)])
        node = node_of(tensor)
        layer = node.operation
        if isinstance(layer, (keras.Model, Composite)):
            inside = self._inside(layer, node, scope)
            return self._copied(tensor, scope, inside.results[_position(tensor, node)], inside)
        missing = [(t, scope) for t in node.input_tensors if id(t) not in scope.known]
        if not missing:
            self._call(layer, node, scope)
        return missing

    def _copied(
        self, tensor: Any, scope: _Scope, other: Any, home: _Scope
    ) -> list[tuple[Any, _Scope]]:
        if id(other) not in home.known:
            return [(other, home)]
        scope.known[id(tensor)] = home.known[id(other)]
        return []

    def _call(self, layer: Any, node: Any, scope: _Scope) -> None:
        inputs = tuple(scope.known[id(tensor)] for tensor in node.input_tensors)
        outputs = tuple(range(self._count, self._count + len(node.outputs)))
        self._count += len(outputs)
        shapes = tuple(tuple(tensor.shape) for tensor in node.input_tensors)
        path = f"{scope.path}/{layer.name}".lstrip("/")
        self.calls.append(Call(layer, inputs, outputs, path, shapes, tuple(node.arguments.args)))
        for tensor, number in zip(node.outputs, outputs, strict=True):
            scope.known[id(tensor)] = number

    def _inside(self, layer: Any, node: Any, scope: _Scope) -> _Scope:
        """Return the graph inside a sub-model or block, traced once for each call of it."""
        if id(node) not in self._scopes:
            if isinstance(layer, keras.Model):
                inputs, results = layer.inputs, layer.outputs
            else:
                fresh = keras.tree.map_structure(_like, node.arguments.args[0])
                inputs, results = keras.tree.flatten(fresh), keras.tree.flatten(layer.call(fresh))
            own = _Scope(f"{scope.path}/{layer.name}".lstrip("/"), {})
            own.results = list(results)
            own.keep = inputs  # The tensors stay alive, so that Python does not reuse their ids.
            for inner, outer in zip(inputs, node.input_tensors, strict=True):
                own.inputs[id(inner)] = (outer, scope)
            self._scopes[id(node)] = own
        return self._scopes[id(node)]


@dataclass
class _Scope:
    """The tensors of one graph, that of the model or of a block.

    Attributes:
        path: Path of the block; empty for the model.
        known: Numbers of the computed tensors, by id.
        inputs: The outer tensor that is passed as each input of the block, with its scope, by id.
        results: Outputs of the block.
        keep: Objects to keep alive.
    """

    path: str
    known: dict[int, int]
    inputs: dict[int, tuple[Any, _Scope]] = field(default_factory=dict)
    results: list[Any] = field(default_factory=list)
    keep: Any = None


def _position(tensor: Any, node: Any) -> int:
    return next(at for at, each in enumerate(node.output_tensors) if each is tensor)


def _like(tensor: Any) -> keras.KerasTensor:
    return keras.KerasTensor(tensor.shape, dtype=tensor.dtype)
