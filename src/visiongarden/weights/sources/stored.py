"""The common form of all sources of weights: names, shapes, and a way to read each array."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from visiongarden.data.preprocessing import Preprocessing
from visiongarden.graphs import Graph


@dataclass(frozen=True)
class Stored:
    """One array of a source.

    Attributes:
        name: Name in the source, such as "backbone/stem/conv/kernel" or "model.0.conv.weight".
        shape: Shape of the array in the source.
        dtype: Name of the array's dtype in the source, such as "float32" or "bfloat16".
        read: Function that returns the array, without a copy if possible. The array must not be
            modified.
        torch: Whether name and axis order are those of PyTorch.
        position: Position among the weights of its layer if the source numbers them, else None.
        siblings: Number of weights of its layer if the source numbers them.
        role: What the weight is in its layer, such as "kernel" or "moving_mean", if the graph of
            the source shows it; else "".
        node: Number of the node that uses the weight, or that of the convolution before it for a
            normalization; -1 if the source has no graph.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Any]
    torch: bool = False
    position: int | None = None
    siblings: int = 0
    role: str = ""
    node: int = -1

    @property
    def parameters(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Source:
    """An opened source of weights, whose arrays can be read until it is closed.

    Attributes:
        label: Name of the source in messages and tables.
        weights: The arrays in the order of the source.
        ignored: Names of entries that are not weights, such as counters.
        class_names: Class names of the model that the weights belong to, or None.
        preprocessing: Preprocessing of that model, or None.
        graph: Graph of operations, whose places are the nodes of the weights; None without one.
        epsilon: Epsilon of the normalizations of the graph, if all have the same.
        verify: Function that raises an error if the bytes do not match their checksums. It is
            called before any array is used.
    """

    label: str
    weights: tuple[Stored, ...]
    ignored: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    graph: Graph | None = None
    epsilon: float | None = None
    verify: Callable[[], None] = field(default=lambda: None)


def from_array(name: str, array: Any, torch: bool) -> Stored:
    """Wrap an array in memory: a NumPy array, or a tensor of any backend."""
    if _is_of_torch(array):
        return from_tensor(name, array, torch)
    found = np.asarray(array)
    return Stored(name, found.shape, str(found.dtype), lambda: found, torch)


def _is_of_torch(array: Any) -> bool:
    # An array can only be PyTorch's if PyTorch is imported, which takes seconds.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def is_module(source: Any) -> bool:
    """Return whether an object is a module of PyTorch, without importing it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def from_variable(name: str, variable: Any) -> Stored:
    """Wrap a Keras variable of a model in memory."""
    dtype = str(keras.backend.standardize_dtype(variable.dtype))

    def read() -> Any:
        value = variable.value
        return (
            from_array(name, value, torch=False).read()
            if _is_of_torch(value)
            else (keras.ops.convert_to_numpy(value))
        )

    return Stored(name, tuple(variable.shape), dtype, read)


def from_tensor(name: str, tensor: Any, torch: bool) -> Stored:
    """Wrap a PyTorch tensor."""
    dtype = str(tensor.dtype).removeprefix("torch.")

    def read() -> Any:
        values = tensor.detach().cpu()
        if dtype != "bfloat16":
            return values.numpy()
        import ml_dtypes
        import torch as library

        # PyTorch cannot convert bfloat16 to NumPy, which lacks the type, so the bits are reused.
        return values.contiguous().view(library.int16).numpy().view(ml_dtypes.bfloat16)

    return Stored(name, tuple(tensor.shape), dtype, read, torch)
