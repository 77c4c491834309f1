"""Reading the arrays of a Keras weights file with the names of their layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from visiongarden.errors import UserError
from visiongarden.weights.sources.bytes import Window, array_at
from visiongarden.weights.sources.keras_2 import (
    MAX_ARRAYS,
    MAX_DEPTH,
    keras_2_layers,
    root_of_keras_2,
)

_UNPACKED, _RATIO = 64 * 2**20, 8
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # gzip, shuffle, Fletcher-32, SZIP, N-bit, scale-offset, LZF
NOT_WEIGHTS = frozenset({"optimizer", "seed_generator"})


@dataclass(frozen=True)
class Array:
    """One array of a weights file.

    Attributes:
        layer: Names of the nested layers, "outer/inner", without containers.
        key: Name within the layer: "0", "1", ... if the layer numbers its weights, as nearly all
            layers do.
        siblings: Number of arrays of the layer.
        shape: Shape of the array.
        dtype: Name of the array's dtype.
        read: Function that returns the array.
    """

    layer: str
    key: str
    siblings: int
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Any]


def arrays_in(
    path: Path, data: np.ndarray, start: int, size: int, named: bool = True
) -> list[Array]:
    """List the arrays of an HDF5 weights file, except those of the optimizer and of seeds.

    Args:
        path: Path for messages.
        data: Bytes of the file that contains the HDF5 file, such as a `.keras` archive.
        start: Offset of the HDF5 file.
        size: Length of the HDF5 file in bytes.
        named: Whether to read the names of layers, which takes longer than everything else.

    Raises:
        UserError: If the data are not a valid HDF5 file written by Keras 3, or the file contains
            links or arrays larger than the file.
    """
    walk = Walk(path, data, start, size, named)
    try:
        with h5py.File(Window(data, start, size), "r") as file:
            root = root_of_keras_2(file)
            if root is None:
                walk.group(file.id, ())
            else:
                keras_2_layers(walk, root)
    except Exception as error:  # A damaged file makes h5py raise errors of many types.
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path} is not a complete weights file",
            rule="an HDF5 file written by Keras",
            received=" ".join(str(error).split())[:200],
            fix="copy the file again if it is truncated",
        ) from error
    return walk.found


class Walk:
    """Traversal of an HDF5 file with h5py's low-level API.

    Creating h5py's high-level objects takes longer than reading the bytes of the arrays.
    """

    def __init__(self, path: Path, data: np.ndarray, start: int, size: int, named: bool) -> None:
        self.named = named
        self.path, self.data, self.start, self.size = path, data, start, size
        self.found: list[Array] = []
        self.seen: set[Any] = set()
        self.unpacked = 0

    def group(self, group: Any, chain: tuple[str, ...], depth: int = 0) -> None:
        """Traverse a group. Keras stores a layer's own arrays in its subgroup "vars"."""
        # Hard links can make a group its own descendant.
        address = h5py.h5o.get_info(group).addr
        if address in self.seen or len(self.seen) > MAX_ARRAYS or depth > MAX_DEPTH:
            raise UserError(f"{self.path}: the groups of the file do not form a tree")
        self.seen.add(address)
        members = {name: item for name, item in self.items(group) if name not in NOT_WEIGHTS}
        for name, item in members.items():
            if not isinstance(item, h5py.h5g.GroupID):
                raise UserError(
                    f"{self.path} is not a weights file of Keras",
                    received=f"array {name} outside of a layer",
                    fix="load it with the Keras version that wrote it, and save it as .keras",
                )
            if name == "vars":
                self.arrays(item, "/".join(chain))
            else:
                layer = _layer_name(item, name) if self.named else ""
                self.group(item, (*chain, layer) if layer else chain, depth + 1)

    def items(self, group: Any) -> Iterator[tuple[str, Any]]:
        """Yield the name and object of each entry of a group; raise an error for links.

        An external link could refer to any file of the user.
        """
        for name in group:
            text = name.decode()
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise UserError(
                    f"{self.path}: {text} is a link", rule="weights stored in the file itself"
                )
            yield text, h5py.h5o.open(group, name)

    def arrays(self, group: Any, layer: str) -> None:
        """Collect the arrays of one layer, after validating their types and sizes."""
        inside = dict(self.items(group))
        for key, item in inside.items():
            if not isinstance(item, h5py.h5d.DatasetID):
                raise UserError(f"{self.path}: {key} of {layer} is not an array")
            self.array(item, key, layer, len(inside))

    def array(self, item: Any, key: str, layer: str, siblings: int) -> None:
        """Collect one array, after validating its type and size."""
        shape, dtype, plan = item.shape, item.dtype, item.get_create_plist()
        layout = plan.get_layout()
        size = math.prod(shape) * dtype.itemsize
        # For filters other than these, HDF5 searches for a shared library and loads it.
        filters = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
        unchunked = layout != h5py.h5d.CHUNKED
        if (
            layout == h5py.h5d.VIRTUAL
            or plan.get_external_count()
            or (unchunked and size > self.size)
            or not filters <= _FILTERS
        ):
            raise UserError(
                f"{self.path}: array {key} of {layer} has an unsupported storage format",
                rule="data in the file itself, without filter plugins",
                received=f"shape {shape}",
            )
        if dtype.kind not in "fiubV" or dtype.names or dtype.hasobject:
            raise UserError(f"{self.path}: array {key} of {layer} is not numeric")
        dtype_name = "bfloat16" if dtype.kind == "V" or _is_bfloat16(item) else dtype.str
        offset = item.get_offset() if layout == h5py.h5d.CONTIGUOUS else None
        read = self.reader(item, offset, size, dtype_name)
        name = dtype_name if dtype_name == "bfloat16" else dtype.name
        self.found.append(Array(layer, key, siblings, shape, name, read))

    def reader(self, item: Any, offset: int | None, size: int, dtype: str) -> Callable[[], Any]:
        """Return a function that reads an array: as a view of the file if it is contiguous."""
        shape = item.shape
        if offset is None:
            # Keras writes neither compressed nor chunked arrays, so they are rare and are read
            # immediately. The total is limited, because a file of 9 MB can declare 8 GB of fill
            # values.
            self.unpacked += size
            if self.unpacked > _UNPACKED + _RATIO * self.size:
                raise UserError(
                    f"{self.path}: a chunked array is too large for the file",
                    rule=f"chunked arrays of at most {_RATIO} times the file's {self.size:,} "
                    f"bytes, plus {_UNPACKED:,}",
                    received=f"at least {self.unpacked:,} bytes",
                )
            values = h5py.Dataset(item)[()]
            return lambda: values
        if offset + size > self.size:
            raise UserError(f"{self.path} is truncated: an array extends beyond its end")
        return lambda: array_at(self.data, self.start + offset, shape, dtype)


def _layer_name(group: Any, default: str) -> str:
    """Return the name of a group's layer; "" for a container, such as a list of layers."""
    if b"vars" not in group:
        return ""
    variables = h5py.h5o.open(group, b"vars")
    if not h5py.h5a.exists(variables, b"name"):
        return default
    return str(h5py.Group(variables).attrs["name"])


def _is_bfloat16(item: Any) -> bool:
    # HDF5 has no bfloat16. Keras stores the bytes as another type, and "bfloat16" as an attribute.
    if item.dtype.itemsize != 2 or not h5py.h5a.exists(item, b"dtype"):
        return False
    return bool(h5py.Dataset(item).attrs["dtype"] == "bfloat16")
