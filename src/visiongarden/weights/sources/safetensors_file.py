"""Reading `.safetensors` files.

The reference library validates the header; the arrays are views of the mapped file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.storage import parse_json
from visiongarden.weights.sources.bytes import array_at, mapped
from visiongarden.weights.sources.stored import Source, Stored
from visiongarden.weights.torch_names import IGNORED, looks_like_torch

_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "bool": 1}


@contextmanager
def open_safetensors(path: Path, layout: str) -> Iterator[Source]:
    """Open a `.safetensors` file.

    Args:
        path: Path of the file.
        layout: Naming and axis order of the arrays, "keras" or "torch"; "auto" decides by each
            name.

    Raises:
        UserError: If the header is invalid or its arrays do not fill the file exactly, or a dtype
            is not supported.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass  # Opening validates the header: its length, and names, dtypes, shapes and offsets.
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a complete safetensors file",
            rule="a header whose arrays fill the file exactly",
            received=str(error)[:200],
            fix="copy the file again if it is truncated",
        ) from error
    data = mapped(path)
    length = int.from_bytes(bytes(data[:8]), "little")
    header = parse_json(bytes(data[8 : 8 + length]), path, UserError)
    header.pop("__metadata__", None)
    found, ignored = [], []
    for name, entry in header.items():
        if name.rsplit(".", 1)[-1] in IGNORED:
            ignored.append(name)
            continue
        torch = looks_like_torch(name) if layout == "auto" else layout == "torch"
        found.append(_stored(path, name, entry, data, 8 + length, torch))
    yield Source(str(path), tuple(found), tuple(ignored))


def _stored(path: Path, name: str, entry: Any, data: np.ndarray, start: int, torch: bool) -> Stored:
    dtype, shape = _TYPES.get(entry["dtype"]), tuple(entry["shape"])
    if dtype is None:
        raise UserError(
            f"{path}: {name} has the unsupported dtype {entry['dtype']}",
            rule=f"one of {', '.join(_TYPES)}",
        )
    first, end = entry["data_offsets"]
    size = _SIZES.get(dtype) or np.dtype(dtype).itemsize
    if end - first != math.prod(shape) * size or start + end > len(data):
        raise UserError(f"{path}: {name} is not stored at the location in the header")
    return Stored(name, shape, dtype, lambda: array_at(data, start + first, shape, dtype), torch)
