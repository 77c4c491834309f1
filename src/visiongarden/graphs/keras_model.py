"""Reading of graphs from Keras models and `.keras` files.

Functional models are walked from their outputs; composites and other layers made of layers are
traced down to plain layers.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import keras

from visiongarden.backends.graph import graph_of, node_of, without_new_calls
from visiongarden.backends.sublayers import children
from visiongarden.backends.weightless import weightless
from visiongarden.errors import ModelFileError, UserError
from visiongarden.graphs.keras_layers import describe
from visiongarden.graphs.op import Graph, Op, graph
from visiongarden.graphs.written import written
from visiongarden.models import load
from visiongarden.models.files import json_member

MAX_OPS = 20_000
"""Maximum number of operations of a graph; NASNet-A large has 1,000.

Nested models that are called twice double the number at each level, so a small file could otherwise
describe a graph that exceeds memory.
"""
_IDENTITY = frozenset({"Dropout", "SpatialDropout2D", "GaussianNoise", "ActivityRegularization"})


def keras_graph(model: keras.Model, source: str = "") -> Graph:
    """Read the graph of a built model, with nested layers resolved into plain layers.

    Raises:
        UserError: The model is subclassed or not built and so has no graph, or has too many
            operations.
    """
    functional = graph_of(model)
    if functional is None:
        raise UserError(
            f"{type(model).__name__} has no graph",
            rule="a built functional or sequential model",
            fix="build it with an input shape, or construct it from keras.Input by calling layers",
        )
    walk = _Walk()
    with without_new_calls(functional):
        ends = walk.model(functional, [walk.input(t) for t in functional.inputs])
    return graph(walk.ops, ends, source or model.name)


def keras_file_graph(path: Path) -> Graph:
    """Read the graph of a `.keras` file, saved by visiongarden or with layers of Keras only.

    Nothing in the file is executed or imported. From a plain Keras file only the config is read,
    and no memory is allocated for weights.

    Raises:
        ModelFileError: The file cannot be opened, or contains layers that are not Keras's.
    """
    config = _plain_config(path)
    if config is None:
        return keras_graph(load(path), path.name)
    try:
        operations = _operations(config)
    except RecursionError:
        operations = math.inf
    if operations > MAX_OPS:
        raise _too_many(str(path))
    custom = sorted(_custom_classes(config))
    if custom:
        raise ModelFileError(
            f"{path} contains custom layers or code: {', '.join(custom[:5])}",
            rule="a .keras file with built-in layers only, or one saved by visiongarden",
            fix="open it with keras.saving.load_model and pass the model to vg.repetition.repeats",
        )
    try:
        with weightless():
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
            return keras_graph(model, path.name)
    except UserError:
        raise
    except Exception as error:
        raise ModelFileError(
            f"{path} does not contain a valid model",
            received=f"{type(error).__name__}: {error!s:.300}",
        ) from error


def _plain_config(path: Path) -> Any:
    """Return config.json of a plain Keras file; None for a file of visiongarden or no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "visiongarden.json" in names or "config.json" not in names:
                return None
            return json_member(path, archive, "config.json")
    except UserError:
        raise
    except Exception:  # zipfile may raise anything on damaged files; `load` reports the damage
        return None


def _custom_classes(config: Any) -> set[str]:
    """Return the names of classes that are not Keras's, or that may contain code."""
    found = set()
    stack = [config]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            name = item.get("class_name")
            if name is not None:
                own = str(item.get("module", "")).split(".")[0] == "keras"
                plain = name in ("__tuple__", "__tensor__", "__keras_tensor__", "__numpy__")
                if (
                    not (own or plain)
                    or item.get("registered_name") not in (None, name)
                    or name in ("Lambda", "__lambda__", "function", "TFSMLayer")
                ):
                    found.add(str(name))
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return found


def _operations(config: Any) -> float:
    """Return the number of layer calls; those of a nested model count at each of its calls."""
    if isinstance(config, list):
        return sum(map(_operations, config))
    if not isinstance(config, dict):
        return 0
    calls = config.get("inbound_nodes")
    inner = sum(_operations(value) for key, value in config.items() if key != "inbound_nodes")
    if "class_name" not in config:
        return inner
    # Floats: nested calls overflow to infinity instead of building integers of unbounded length.
    return min(max(len(calls), 1) if isinstance(calls, list) else 1, MAX_OPS + 1) * (1.0 + inner)


def _too_many(name: str) -> ModelFileError:
    return ModelFileError(
        f"{name} has too many operations; nested models count once per call",
        rule=f"at most {MAX_OPS:,}",
    )


class _Walk:
    """Walk from symbolic tensors back to the inputs, and into layers made of layers."""

    def __init__(self) -> None:
        self.ops: list[Op] = []

    def input(self, tensor: Any) -> int:
        return self._add(Op("input", (), name=tensor.name, channels=_channels(tensor)))

    def model(self, model: Any, inputs: list[int]) -> list[int]:
        """Return the positions of a functional model's outputs, given those of its inputs."""
        known = {id(t): at for t, at in zip(model.inputs, inputs, strict=True)}
        return self._trace(model.outputs, known)

    def _trace(self, outputs: list[Any], known: dict[int, int]) -> list[int]:
        stack = [(tensor, False) for tensor in reversed(outputs)]
        while stack:
            tensor, ready = stack.pop()
            if id(tensor) in known:
                continue
            node = node_of(tensor)
            if node is None:
                # A constant; the tensors of JAX and PyTorch have no name.
                known[id(tensor)] = self._add(
                    Op("constant", (), name=str(getattr(tensor, "name", "")))
                )
                continue
            if ready:
                self._node(node, known)
                continue
            stack.append((tensor, True))
            stack += [(each, False) for each in reversed(node.input_tensors)]
        return [known[id(tensor)] for tensor in outputs]

    def _node(self, node: Any, known: dict[int, int]) -> None:
        operation, outputs = node.operation, node.output_tensors
        inputs = [known[id(tensor)] for tensor in node.input_tensors]
        ends = self._inside(operation, node, inputs)
        if ends is None:
            at = self._add(self._op(operation, node, tuple(inputs)))
            ends = [at] * len(outputs)
            if len(outputs) > 1:
                ends = [
                    self._add(Op("part", (at,), (("part", i),), channels=_channels(tensor)))
                    for i, tensor in enumerate(outputs)
                ]
        known |= {id(tensor): end for tensor, end in zip(outputs, ends, strict=True)}

    def _inside(self, operation: Any, node: Any, inputs: list[int]) -> list[int] | None:
        """Return the positions of the outputs of a layer made of layers; None for a plain layer."""
        inner = graph_of(operation) if isinstance(operation, keras.Model) else None
        if inner is not None:
            return self.model(inner, inputs)
        if not isinstance(operation, keras.Layer) or not children(operation):
            return None
        # Layers of Keras that have sublayers, such as `MultiHeadAttention`, are one operation.
        if type(operation).__module__.startswith("keras."):
            return None
        # Tensors without history, so that the trace ends at the entry of the layer.
        symbolic = {id(t): keras.KerasTensor(t.shape, t.dtype) for t in node.input_tensors}
        args, kwargs = keras.tree.map_structure(
            lambda x: symbolic.get(id(x), x), (node.arguments.args, node.arguments.kwargs)
        )
        try:
            result = operation.call(*args, **kwargs)
        except Exception:
            return None  # a layer that only runs on real tensors is one operation
        known = {id(symbolic[id(t)]): at for t, at in zip(node.input_tensors, inputs, strict=True)}
        outputs = keras.tree.flatten(result)
        if any(not isinstance(tensor, keras.KerasTensor) for tensor in outputs):
            return None
        return self._trace(outputs, known)

    def _op(self, operation: Any, node: Any, inputs: tuple[int, ...]) -> Op:
        name = type(operation).__name__
        # The operations of `keras.ops` have no path and no weights.
        layer = operation if isinstance(operation, keras.Layer) else None
        path = (layer and layer.path) or operation.name
        channels = _channels(node.output_tensors[0])
        if name in _IDENTITY and len(inputs) == 1:
            return Op("identity", inputs)
        kind, fixed, width = describe(operation, node)
        weights = [] if layer is None else layer.weights
        parameters = sum(math.prod(weight.shape) for weight in weights)
        place = len(self.ops)
        code = written(operation)
        sides = [t.shape[1:-1] for t in (*node.input_tensors[:1], *node.output_tensors[:1])]
        keeps = len(sides) == 2 and sides[0] == sides[1] and None not in sides[0]
        return Op(kind, inputs, fixed, width, path, place, channels, parameters, *code, keeps)

    def _add(self, op: Op) -> int:
        self.ops.append(op)
        if len(self.ops) > MAX_OPS:
            raise _too_many("the model")
        return len(self.ops) - 1


def _channels(tensor: Any) -> int | None:
    return tensor.shape[-1] if tensor.shape else None
