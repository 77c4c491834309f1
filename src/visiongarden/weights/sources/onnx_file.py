"""Reading the weights of ONNX files: initializers and Constant nodes, with their roles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.errors import ModelFileError
from visiongarden.graphs.onnx_file import graph_of_file, load_onnx
from visiongarden.weights.sources.stored import Source, Stored

_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_KERNELS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_EPSILON = 1e-5
"""Default of ONNX's BatchNormalization."""
_FLOATS = (1, 10, 11, 16)
"""Types of tensors: float32, float16, float64 and bfloat16."""


@contextmanager
def open_onnx(path: Path, layout: str) -> Iterator[Source]:
    """Open an ONNX file; external data is not read.

    A kernel has PyTorch's axis order, in which ONNX's convolutions store it.

    Args:
        path: Path of the file.
        layout: Not used; the layout is ONNX's.

    Raises:
        UserError: The package `onnx` is not installed.
        ModelFileError: The file is not a valid ONNX file, or stores its weights in another file.
    """
    model = load_onnx(path)
    weights = _Weights(path, model.graph)
    found = tuple(weights.all())
    epsilons = Counter(weights.epsilons)
    yield Source(
        str(path),
        found,
        graph=graph_of_file(path, model),
        epsilon=next(iter(epsilons)) if len(epsilons) == 1 else None,
    )


class _Weights:
    """The weights of a graph by the nodes that use them."""

    def __init__(self, path: Path, graph: Any) -> None:
        self.path, self.graph = path, graph
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.made: dict[str, int] = {}
        self.ops: dict[int, str] = {}
        self.epsilons: list[float] = []

    def all(self) -> Iterator[Stored]:
        """Yield the weights of convolutions, dense layers and normalizations."""
        used: set[str] = set()
        for number, node in enumerate(self.graph.node):
            self.ops[number] = node.op_type
            self.made |= dict.fromkeys(node.output, number)
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value" and node.output:
                        self.tensors[node.output[0]] = attribute.t
            elif node.op_type == "Identity" and node.input[0] in self.tensors:
                # Exporters share equal tensors in this way.
                self.tensors[node.output[0]] = self.tensors[node.input[0]]
            else:
                for stored in self._of(node, number):
                    if stored.name not in used:
                        used.add(stored.name)
                        yield stored

    def _of(self, node: Any, number: int) -> Iterator[Stored]:
        inputs = list(node.input)
        if node.op_type == "BatchNormalization" and len(inputs) == 5:
            epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), _EPSILON)
            self.epsilons.append(float(np.float32(epsilon)))
            before = self.made.get(inputs[0], -1)
            host = before if self.ops.get(before) in _KERNELS else number
            for name, role in zip(inputs[1:], _NORM, strict=True):
                yield from self._stored(name, role, host)
            return
        if node.op_type == "Add":
            # The bias of a MatMul is added by a separate node.
            made = [self.made.get(name, -1) for name in inputs]
            products = [at for at in made if self.ops.get(at) == "MatMul"]
            for name in inputs if products else ():
                yield from self._stored(name, "bias", products[0])
            return
        if node.op_type not in _KERNELS or len(inputs) < 2:
            return
        values = {a.name: a.i for a in node.attribute if a.name == "transB"}
        is_dense = node.op_type in ("Gemm", "MatMul")
        # PyTorch's order is (out, in).
        yield from self._stored(inputs[1], "kernel", number, is_dense and not values.get("transB"))
        if len(inputs) > 2 and node.op_type != "MatMul":
            yield from self._stored(inputs[2], "bias", number)

    def _stored(
        self, name: str, role: str, node: int, transposed: bool = False
    ) -> Iterator[Stored]:
        tensor = self.tensors.get(name)
        if tensor is None or tensor.data_type not in _FLOATS:
            return
        if tensor.data_location == 1:
            raise ModelFileError(
                f"{self.path} stores its weights in another file",
                rule="weights in the file itself",
                received=f"{name:.80}",
                fix=f'onnx.save(onnx.load("{self.path}"), "whole.onnx")',
            )
        shape = tuple(tensor.dims)
        if transposed and len(shape) != 2:
            return
        read = self._reader(tensor, transposed)
        dtype = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}[tensor.data_type]
        yield Stored(
            name, shape[::-1] if transposed else shape, dtype, read, True, role=role, node=node
        )

    def _reader(self, tensor: Any, transposed: bool) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            from onnx import numpy_helper

            try:
                array = np.asarray(numpy_helper.to_array(tensor))
            except (ValueError, TypeError) as error:
                raise ModelFileError(
                    f"{self.path}: tensor {tensor.name:.80} is incomplete",
                    rule=f"shape {tuple(tensor.dims)}",
                    received=str(error)[:200],
                    fix="copy the file again if it is truncated",
                ) from error
            return array.T if transposed else array

        return read
