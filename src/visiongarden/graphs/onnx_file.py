"""Reading of graphs from ONNX files.

Of the weights only shapes are read, and small constants such as the scales of a resize. External
data is never loaded.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden.errors import ModelFileError, UserError
from visiongarden.graphs.op import Graph, Op, graph, settings
from visiongarden.layers.activations import NEGATIVE_SLOPE

MAX_BYTES = 2**31 - 1
"""Maximum file size, the limit of protobuf for one message."""

MAX_NODES = 200_000
"""Maximum number of nodes."""

_ACTIVATIONS = {
    "Relu": "relu", "LeakyRelu": "leaky_relu", "Sigmoid": "sigmoid", "Tanh": "tanh",
    "HardSwish": "hard_silu", "HardSigmoid": "hard_sigmoid", "Softplus": "softplus",
    "Mish": "mish", "Elu": "elu", "Gelu": "gelu", "Swish": "silu",
}  # fmt: skip
_TYPES: dict[str, Any] = {
    "kernel_shape": tuple, "strides": tuple, "pads": tuple, "dilations": tuple, "group": int,
    "transB": int, "keepdims": int, "alpha": float, "auto_pad": str, "mode": str,
}  # fmt: skip
"""Type that each attribute has in ONNX's operators; a file may contain another one."""
_IDENTITY = frozenset({"Identity", "Dropout", "Cast"})
_NORMS = {
    "BatchNormalization": "batch", "LayerNormalization": "layer", "GroupNormalization": "group",
    "InstanceNormalization": "instance", "RMSNormalization": "rms",
}  # fmt: skip
_OPERATIONS = {
    "Add": "add", "Sum": "add", "Mul": "multiply", "Concat": "concat", "Sub": "subtract",
    "Max": "maximum", "Flatten": "flatten", "Reshape": "reshape", "Transpose": "permute",
}  # fmt: skip
_UNKNOWN_CHANNELS = frozenset({"flatten", "reshape", "permute"})
_POOLS = {"MaxPool": "maxpool", "AveragePool": "avgpool"}
_GLOBAL = {"GlobalAveragePool": "average", "GlobalMaxPool": "max"}


def onnx_graph(path: Path) -> Graph:
    """Read the graph of an ONNX file.

    Raises:
        UserError: The package `onnx` is not installed.
        ModelFileError: The file is too large or is not a valid ONNX file.
    """
    return graph_of_file(path, load_onnx(path))


def graph_of_file(path: Path, model: Any) -> Graph:
    """Read the graph of an ONNX model in memory.

    Args:
        path: Path for messages.
        model: The model, an `onnx.ModelProto`.

    Raises:
        ModelFileError: The model is invalid.
    """
    if len(model.graph.node) > MAX_NODES:
        raise ModelFileError(
            f"{path} has too many nodes",
            rule=f"at most {MAX_NODES:,}",
            received=f"{len(model.graph.node):,}",
        )
    return _Reader(path, model.graph).graph()


def load_onnx(path: Path) -> Any:
    """Read an ONNX file without external data.

    Raises:
        UserError: The package `onnx` is not installed.
        ModelFileError: The file is too large or is not a valid ONNX file.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError(
            "the package onnx is not installed", fix='pip install "visiongarden[export]"'
        ) from error
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelFileError(
            f"{path} is too large for an ONNX file",
            rule=f"at most {MAX_BYTES:,} bytes; larger models store weights in a separate file",
            received=f"{size:,} bytes",
        )
    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except Exception as error:  # exception types of the protobuf parser
        raise ModelFileError(
            f"{path} is not a valid ONNX file",
            received=f"{error!s:.200}",
            fix="export the model again, or copy the file again if the copy is incomplete",
        ) from error
    if not model.graph.node:
        raise ModelFileError(f"the graph of {path} has no nodes", rule="at least one node")
    return model


class _Reader:
    def __init__(self, path: Path, graph: Any) -> None:
        self.path, self.source = path, graph
        self.weights = {each.name: tuple(each.dims) for each in graph.initializer}
        self.values = {each.name: each for each in graph.initializer if _small(each)}
        self.ops: list[Op] = []
        self.at: dict[str, int] = {}

    def graph(self) -> Graph:
        for value in self.source.input:
            if value.name not in self.weights:
                sides = [side.dim_value for side in value.type.tensor_type.shape.dim]
                channels = sides[1] if len(sides) > 1 and sides[1] > 0 else None
                self._add(Op("input", (), name=value.name, channels=channels), [value.name])
        for number, node in enumerate(self.source.node):
            try:
                self._node(node, number)
            except UserError:
                raise
            except Exception as error:  # shapes and settings that contradict each other
                name = f"{node.name or number!s:.80} ({node.op_type:.40})"
                raise ModelFileError(
                    f"{self.path}: node {name} is invalid",
                    received=f"{type(error).__name__}: {error!s:.200}",
                    fix="export the model again",
                ) from error
        ends = [self.at[v.name] for v in self.source.output if v.name in self.at]
        if not ends:
            raise ModelFileError(f"{self.path}: no output of the graph is computed by a node")
        return graph(self.ops, ends, self.path.name, "layer")

    def _add(self, op: Op, outputs: list[str]) -> None:
        self.ops.append(op)
        self.at |= {name: len(self.ops) - 1 for name in outputs if name}

    def _node(self, node: Any, number: int) -> None:
        if node.op_type in ("Constant", "ConstantOfShape"):
            self._constant(node)
            return
        reads = [name for name in node.input if name and name not in self.weights]
        missing = [name for name in reads if name not in self.at]
        if missing:
            raise ModelFileError(
                f"{self.path}: node {node.name or number} reads {missing[0]!r:.80} before it "
                "is computed",
                rule="nodes in topological order",
            )
        inputs = tuple(self.at[name] for name in reads)
        weights = [name for name in node.input if name in self.weights]
        if not inputs:  # computed from constants only, so a weight
            self.weights |= dict.fromkeys(node.output, ())
            return
        kind, fixed, width = self._describe(node, inputs, weights)
        if kind in ("conv", "depthwise"):  # the kernel determines its input channels
            read = self.weights[weights[0]][1] * dict(fixed).get("groups", 1)
            read = read if kind == "conv" else self.weights[weights[0]][0]
            self.ops[inputs[0]] = replace(self.ops[inputs[0]], channels=read)
        parameters = sum(math.prod(self.weights[name]) for name in weights)
        channels = self._channels(kind, inputs, width, fixed)
        name = node.name or (node.output[0] if node.output else "")
        op = Op(kind, inputs, fixed, width, name, number, channels, parameters)
        if len(node.output) < 2:
            self._add(self._swish(op), list(node.output))
            return
        self._add(op, [])
        whole = len(self.ops) - 1
        parts = len(node.output)
        for i, output in enumerate(node.output):
            size = channels // parts if channels and kind == "Split" else channels
            part = settings(parts=parts, part=i)
            # A split with several outputs becomes one slice per output, as other sources have them.
            if kind == "Split":
                self._add(Op("slice", inputs, part, None, output, number, size), [output])
            else:
                self._add(Op("part", (whole,), part, None, output, number, size), [output])

    def _constant(self, node: Any) -> None:
        for attribute in node.attribute:
            if attribute.name == "value" and node.output:
                self.weights[node.output[0]] = tuple(attribute.t.dims)
                if _small(attribute.t):
                    self.values[node.output[0]] = attribute.t
                return
        self.weights |= dict.fromkeys(node.output, ())

    def _swish(self, op: Op) -> Op:
        """Merge x · sigmoid(x) into "silu" and x · tanh(softplus(x)) into "mish".

        Exporters write these activations as products. The gate is left without a reader, and
        `graph` removes it.
        """
        if op.kind != "multiply" or len(op.inputs) != 2:
            return op
        for x, gate in (op.inputs, op.inputs[::-1]):
            first = self.ops[gate]
            if first.kind != "act" or not first.inputs:
                continue
            if first.get("act") == "sigmoid" and first.inputs == (x,):
                return self._as_act(op, x, "silu")
            before = self.ops[first.inputs[0]]
            soft = before.kind == "act" and before.get("act") == "softplus"
            if first.get("act") == "tanh" and soft and before.inputs == (x,):
                return self._as_act(op, x, "mish")
        return op

    def _as_act(self, op: Op, x: int, act: str) -> Op:
        return Op("act", (x,), settings(act=act), None, op.name, op.place, op.channels)

    def _describe(
        self, node: Any, inputs: tuple[int, ...], weights: list[str]
    ) -> tuple[str, Any, int | None]:
        kind, attributes = node.op_type, {a.name: self._setting(node, a) for a in node.attribute}
        if kind in ("Conv", "ConvTranspose"):
            return self._convolution(node, attributes, weights)
        if kind in ("Gemm", "MatMul") and weights:
            shape = self.weights[weights[0]]
            width = shape[0 if attributes.get("transB") else -1] if shape else None
            return "dense", settings(bias=len(weights) > 1), width
        if kind in _IDENTITY:
            return "identity", (), None
        if kind in _NORMS:
            return "norm", settings(norm=_NORMS[kind]), None
        if kind in _ACTIVATIONS:
            slope = attributes.get("alpha", 0.01) if kind == "LeakyRelu" else None
            # Other sources leave this slope out too; the tolerance is for 0.1 in float32.
            extra = {} if slope is None or abs(slope - NEGATIVE_SLOPE) < 1e-6 else {"slope": slope}
            return "act", settings(act=_ACTIVATIONS[kind], **extra), None
        if kind == "Clip" and self._numbers(node.input[1:3]) == [0.0, 6.0]:
            return "act", settings(act="relu6"), None
        if kind in _POOLS:
            stride = tuple(
                attributes.get("strides", (1,) * len(attributes.get("kernel_shape", (1, 1))))
            )
            pad = _pad(attributes, tuple(attributes.get("kernel_shape", ())))
            kernel = tuple(attributes.get("kernel_shape", ()))
            return _POOLS[kind], settings(kernel=kernel, stride=stride, pad=pad), None
        if kind in _GLOBAL or (kind == "ReduceMean" and len(inputs) == 1):
            flat = {} if attributes.get("keepdims", 1) else {"flat": True}
            return "globalpool", settings(pool=_GLOBAL.get(kind, "average"), **flat), None
        if kind in ("Resize", "Upsample"):
            scales = self._numbers(node.input[-1:]) or self._numbers(node.input[1:3])
            if len(scales) == 4 and all(scale == int(scale) for scale in scales):
                extra = (
                    {}
                    if attributes.get("mode", "nearest") == "nearest"
                    else {"interpolation": attributes["mode"]}
                )
                return "upsample", settings(stride=(int(scales[2]), int(scales[3])), **extra), None
        if kind == "Pad" and len(sides := self._numbers(node.input[1:2])) == 8:
            pairs = ((int(sides[2]), int(sides[6])), (int(sides[3]), int(sides[7])))
            return "pad", settings(sides=pairs), None
        name = _OPERATIONS.get(kind, kind)
        if name in ("add", "multiply") and weights:
            # Adding a weight and adding two feature maps are different operations.
            name += " a constant"
        extra = {f"_{key}": str(value)[:200] for key, value in attributes.items()}
        extra = {} if name in ("add", "multiply") else extra
        small = [self._numbers([name]) for name in weights]
        if name not in ("concat", *_OPERATIONS.values()) and any(small):
            extra["constants"] = str(small)[:200]
        return name, settings(**extra) if name != "concat" else (), None

    def _setting(self, node: Any, attribute: Any) -> Any:
        """Return the value of an attribute, checked against its type in ONNX's operators."""
        value, expected = _value(attribute), _TYPES.get(attribute.name)
        if expected is not None and not isinstance(value, expected):
            raise ModelFileError(
                f"{self.path}: attribute {attribute.name} of node {node.name!r:.80} is invalid",
                rule="a list of numbers" if expected is tuple else f"of type {expected.__name__}",
                received=f"{value!r:.80}",
                fix="export the model again",
            )
        return value

    def _convolution(
        self, node: Any, attributes: dict[str, Any], weights: list[str]
    ) -> tuple[str, Any, int | None]:
        shape = self.weights[weights[0]] if weights else ()
        if len(shape) < 3:
            return node.op_type, settings(**{k: str(v) for k, v in attributes.items()}), None
        kernel = tuple(attributes.get("kernel_shape", shape[2:]))
        stride = tuple(attributes.get("strides", (1,) * len(kernel)))
        dilation = tuple(attributes.get("dilations", (1,) * len(kernel)))
        groups = attributes.get("group", 1)
        values: dict[str, Any] = {
            "kernel": kernel,
            "stride": stride,
            "pad": _pad(attributes, kernel),
        }
        values |= {"dilation": dilation} if set(dilation) != {1} else {}
        values |= {"bias": True} if len(weights) > 1 else {}
        if node.op_type == "ConvTranspose":
            return "transposed", settings(**values), shape[1] * groups
        if groups > 1 and groups == shape[0] and shape[1] == 1:
            return "depthwise", settings(**values), None
        values |= {"groups": groups} if groups > 1 else {}
        return "conv", settings(**values), shape[0]

    def _channels(
        self, kind: str, inputs: tuple[int, ...], width: int | None, fixed: Any
    ) -> int | None:
        if width is not None:
            return width
        known = [self.ops[i].channels for i in inputs]
        # Operations without a standard kind keep their CamelCase name; their channels are unknown.
        if kind in _UNKNOWN_CHANNELS or not kind.islower():
            return None
        if kind == "concat":
            return None if None in known else sum(c for c in known if c)
        return max((c for c in known if c), default=None)

    def _numbers(self, names: Any) -> list[float]:
        """Return the values of small constants; empty if a name is not one."""
        from onnx import numpy_helper

        numbers: list[float] = []
        for name in names:
            if name not in self.values:
                return []
            try:
                numbers += [float(x) for x in numpy_helper.to_array(self.values[name]).ravel()]
            except (TypeError, ValueError):
                return []
        return numbers


def _small(tensor: Any) -> bool:
    # Inline data of type float32, int32, int64, float16 or float64.
    count = math.prod(tensor.dims)
    return 0 <= count <= 16 and tensor.data_location == 0 and tensor.data_type in (1, 6, 7, 10, 11)


def _value(attribute: Any) -> Any:
    """Return an attribute as a number, string or tuple of numbers; "" for tensors and graphs."""
    # Numbers of `onnx.AttributeProto.AttributeType`; 3 is STRING.
    if attribute.type == 3:
        return attribute.s.decode("utf-8", "replace")[:200]
    if attribute.type in (1, 2):
        return attribute.f if attribute.type == 1 else attribute.i
    if attribute.type in (6, 7):
        return tuple(attribute.floats if attribute.type == 6 else attribute.ints)
    return ""


def _pad(attributes: dict[str, Any], kernel: tuple[int, ...]) -> Any:
    auto = attributes.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        return "half" if set(attributes.get("strides", (1,))) == {1} else "same"
    sides = tuple(attributes.get("pads", (0,) * 2 * len(kernel)))
    dilation = attributes.get("dilations", (1,) * len(kernel))
    half = tuple(d * (k // 2) for d, k in zip(dilation, kernel, strict=False)) * 2
    if auto == "VALID" or (not any(sides) and any(half)):
        return "valid"
    return "half" if sides == half else sides
