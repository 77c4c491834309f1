"""What every kind of source gives: names, shapes, and a way to read each array."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class Stored:
    """One array of a source.

    Attributes:
        name: as the source spells it: "backbone/stem/conv/kernel", "model.0.conv.weight".
        shape: of the array as it lies there.
        dtype: of the array as it lies there, "float32", "bfloat16", ...
        read: gives the array, without a copy where the source allows; it must not be written to.
        torch: whether name and layout are PyTorch's.
        position: place among its layer's weights, where the source does not name them.
        siblings: number of weights of its layer, where the source does not name them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Any]
    torch: bool = False
    position: int | None = None
    siblings: int = 0

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Source:
    """An opened source; its arrays can be read until it is closed.

    Attributes:
        label: what messages and tables call it.
        weights: in the source's order.
        ignored: names that are no weights: counters, states of random generators.
        class_names: of the model that the weights belong to, where the source has them.
        verify: raises where the bytes are not those that were written; called before any is used.
    """

    label: str
    weights: tuple[Stored, ...]
    ignored: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None
    verify: Callable[[], None] = field(default=lambda: None)


def from_array(name: str, array: Any, torch: bool) -> Stored:
    """A weight that is in memory already: NumPy, a backend's tensor, or PyTorch's."""
    if hasattr(array, "detach"):
        return from_tensor(name, array, torch)
    found = np.asarray(array)
    return Stored(name, found.shape, str(found.dtype), lambda: found, torch)


def from_variable(name: str, variable: Any) -> Stored:
    """A weight of a live model."""
    dtype = str(keras.backend.standardize_dtype(variable.dtype))

    def read() -> Any:
        value = variable.value
        return (
            from_array(name, value, torch=False).read()
            if hasattr(value, "detach")
            else (keras.ops.convert_to_numpy(value))
        )

    return Stored(name, tuple(variable.shape), dtype, read)


def from_tensor(name: str, tensor: Any, torch: bool) -> Stored:
    """A PyTorch tensor; bfloat16, which NumPy lacks, keeps its bits."""
    dtype = str(tensor.dtype).removeprefix("torch.")

    def read() -> Any:
        values = tensor.detach().cpu()
        if dtype != "bfloat16":
            return values.numpy()
        import ml_dtypes
        import torch as library

        return values.contiguous().view(library.int16).numpy().view(ml_dtypes.bfloat16)

    return Stored(name, tuple(tensor.shape), dtype, read, torch)
