"""Arrays of a Keras weights file, with the names of the layers around each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from visiongarden.errors import UserError
from visiongarden.weights.sources.bytes import Window, array_at

_MOST_ARRAYS = 200_000
_NOT_WEIGHTS = frozenset({"optimizer", "seed_generator"})


@dataclass(frozen=True)
class Array:
    """One array: the layer that it belongs to by names, "outer/inner", and its key there.

    Attributes:
        layer: names of the nested layers, containers left out.
        key: "0", "1", ... where the layer numbers its weights, as nearly all do.
        siblings: number of arrays of the layer.
        shape: of the array.
        dtype: of the array.
        read: gives the array.
    """

    layer: str
    key: str
    siblings: int
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Any]


def arrays_in(path: Path, data: np.ndarray, start: int, size: int) -> list[Array]:
    """Every array of the HDF5 file that lies in `data`, but those of the optimiser.

    Args:
        path: for messages.
        data: bytes of the file around it.
        start: where the HDF5 file starts.
        size: its length in bytes.

    Raises:
        UserError: links out of the file, arrays larger than it, or no HDF5 file.
    """
    walk = _Walk(path, data, start, size)
    try:
        with h5py.File(Window(data, start, size), "r") as file:
            walk.group(file, ())
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path} is not a whole weights file",
            rule="an HDF5 file that Keras wrote",
            received=" ".join(str(error).split())[:200],
            fix="copy the file again if the copy was cut short",
        ) from error
    return walk.found


class _Walk:
    def __init__(self, path: Path, data: np.ndarray, start: int, size: int) -> None:
        self.path, self.data, self.start, self.size = path, data, start, size
        self.found: list[Array] = []
        self.seen: set[Any] = set()

    def group(self, group: Any, chain: tuple[str, ...]) -> None:
        """Walks a group; Keras keeps a layer's own arrays in its group "vars"."""
        address = h5py.h5o.get_info(group.id).addr
        if address in self.seen or len(self.seen) > _MOST_ARRAYS:
            raise UserError(f"{self.path}: the groups of the file are no tree")
        self.seen.add(address)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise UserError(f"{self.path}: {name} is a link; weights lie in the file itself")
            if name in _NOT_WEIGHTS:
                continue
            item = group[name]
            if not isinstance(item, h5py.Group):
                raise UserError(
                    f"{self.path} is no weights file of Keras 3",
                    received=f"an array {item.name} outside of a layer",
                    fix="open it with the Keras that wrote it, and save it as .keras",
                )
            if name == "vars":
                self.arrays(item, "/".join(chain))
            else:
                own = item.get("vars")
                own_name = "" if own is None else own.attrs.get("name", name)
                self.group(item, (*chain, str(own_name)) if own_name else chain)

    def arrays(self, group: Any, layer: str) -> None:
        """The arrays of one layer."""
        for key in group:
            link, item = group.get(key, getlink=True), group[key]
            if not isinstance(link, h5py.HardLink) or not isinstance(item, h5py.Dataset):
                raise UserError(f"{self.path}: {item.name} is no array of the file itself")
            if item.is_virtual or item.external or item.nbytes > self.size:
                raise UserError(
                    f"{self.path}: array {item.name} claims more than the file holds",
                    received=f"shape {item.shape}",
                )
            if item.dtype.kind not in "fiubV":
                raise UserError(f"{self.path}: array {item.name} holds no numbers")
            dtype = "bfloat16" if item.attrs.get("dtype") == "bfloat16" else item.dtype.str
            read = self.reader(item, dtype)
            dtype = dtype if dtype == "bfloat16" else item.dtype.name
            self.found.append(Array(layer, key, len(group), item.shape, dtype, read))

    def reader(self, item: Any, dtype: str) -> Callable[[], Any]:
        """How to read an array: where it lies in one piece, as a view of the file."""
        place, shape = item.id.get_offset(), item.shape
        if place is not None and item.chunks is None:
            if place + item.nbytes > self.size:
                raise UserError(f"{self.path} is cut short: {item.name} lies beyond its end")
            return lambda: array_at(self.data, self.start + place, shape, dtype)
        # Compressed or in pieces, which Keras does not write: rare, so read at once.
        values = item[()]
        return lambda: values
