"""Reading PyTorch state dicts (`.pt`, `.pth`), of any age and without PyTorch.

Since version 1.6, PyTorch writes a ZIP archive: one pickle, and one uncompressed member for each
storage. Before, it wrote five pickles and then the storages, each after its length.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.weights.sources.bytes import Span, Window, check_spans, dtype_of, mapped, span_of
from visiongarden.weights.sources.state_dicts import state_dict_in
from visiongarden.weights.sources.stored import Source, Stored
from visiongarden.weights.sources.torch_pickle import (
    CodeError,
    Opaque,
    Storage,
    Tensor,
    read_pickle,
)
from visiongarden.weights.torch_names import IGNORED

# Ten thousand tensors take 2 MB.
_MAX_PICKLE = 8 * 2**20
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_LITTLE = "little"

Places = Mapping[str, tuple[int, int]]
"""Offset and length in bytes of each storage."""


@contextmanager
def open_torch(path: Path, layout: str, state_dict: str | None = None) -> Iterator[Source]:
    """Open a state dict, or a checkpoint that contains one or several.

    Args:
        path: Path of the file.
        layout: "keras" if the arrays have Keras's names and axis order; otherwise PyTorch's are
            assumed.
        state_dict: Name of the state dict; None if there is only one.

    Raises:
        UserError: If the file is not a complete PyTorch file, contains pickled code, or contains no
            state dict, or several of which none is named.
    """
    data = mapped(path)
    spans: list[Span] = []
    if bytes(data[:4]) == b"PK\x03\x04":
        loaded, places, spans = _archive(path, data)
    else:
        loaded, places = _plain(path, data)
    found, ignored = [], []
    for name, tensor in state_dict_in(loaded, _is_tensor, str(path), state_dict).items():
        if name.rsplit(".", 1)[-1] in IGNORED:
            ignored.append(name)
        else:
            found.append(_stored(path, name, tensor, data, places, layout != "keras"))
    check = lambda: check_spans(path, data, spans)  # noqa: E731
    yield Source(str(path), tuple(found), tuple(ignored), verify=check)


def _archive(path: Path, data: np.ndarray) -> tuple[Any, Places, list[Span]]:
    """Read the pickle of a ZIP archive, and locate its storages."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            spans = [span_of(data, member) for member in members]
    except Exception as error:  # A damaged archive makes zipfile raise errors of many types.
        raise _incomplete(path, error) from error
    known = [span for span in spans if span is not None]
    pickles = [span for span in known if span.name.endswith("data.pkl")]
    if len(known) != len(spans) or len(pickles) != 1 or pickles[0].size > _MAX_PICKLE:
        raise UserError(
            f"{path} is not a PyTorch state dict",
            rule="an uncompressed archive with one small data.pkl",
            received=", ".join(member.filename for member in members[:4]),
            fix="torch.save(model.state_dict(), path)",
        )
    folder = pickles[0].name.removesuffix("data.pkl")
    orders = [span for span in known if span.name == f"{folder}byteorder"]
    if any(bytes(data[o.start : o.start + o.size]) != b"little" for o in orders):
        raise _big_endian(path)
    # The pickle names the storages, so that damage to it must be found before it is read.
    check_spans(path, data, pickles)
    loaded = _unpickled(path, Window(data, pickles[0].start, pickles[0].size))
    start = f"{folder}data/"
    places = {
        span.name.removeprefix(start): (span.start, span.size)
        for span in known
        if span.name.startswith(start)
    }
    return loaded, places, known


def _plain(path: Path, data: np.ndarray) -> tuple[Any, Places]:
    """Read a file of PyTorch before 1.6: magic number, version, system, state dict, storages."""
    stream = Window(data, 0, len(data))
    if (_unpickled(path, stream), _unpickled(path, stream)) != (_MAGIC, _PROTOCOL):
        raise _incomplete(path, ValueError("it does not start with PyTorch's magic number"))
    system = _unpickled(path, stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _big_endian(path)
    loaded = _unpickled(path, stream)
    keys = _unpickled(path, stream)
    sizes = {storage.key: storage for storage in _storages(loaded)}
    places: dict[str, tuple[int, int]] = {}
    position = stream.tell()
    for key in keys if isinstance(keys, list) else ():
        storage = sizes.get(key) if isinstance(key, str) else None
        count = bytes(data[position : position + 8])
        if storage is None or len(count) < 8:
            raise _incomplete(path, ValueError("its storages do not fit its tensors"))
        size = struct.unpack("<q", count)[0] * dtype_of(storage.dtype).itemsize
        position += 8
        if not 0 <= size <= len(data) - position:
            raise _incomplete(path, ValueError("a storage extends beyond the end of the file"))
        places[key] = (position, size)
        position += size
    if position != len(data):
        raise _incomplete(path, ValueError(f"{len(data) - position:,} bytes follow its storages"))
    return loaded, places


def _storages(loaded: Any) -> Iterator[Storage]:
    """Yield the storages of all tensors in nested dicts, lists and tuples."""
    waiting, seen = [loaded], set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, Tensor):
            yield each.storage
        elif isinstance(each, Storage):
            yield each
        elif isinstance(each, (dict, list, tuple)) and id(each) not in seen:
            seen.add(id(each))
            waiting += each.values() if isinstance(each, dict) else each


def _unpickled(path: Path, stream: Any) -> Any:
    try:
        return read_pickle(stream)
    except CodeError as error:
        raise UserError(
            f"{path} contains pickled code, which is not executed",
            rule="a state dict that contains only names and tensors",
            received=str(error)[:120],
            fix="if you trust the file: load it in the program that wrote it, then "
            "torch.save(model.state_dict(), path)",
        ) from error
    except Exception as error:  # Hostile texts and numbers make Python raise errors of many types.
        raise _incomplete(path, error) from error


def _incomplete(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is not a complete PyTorch file",
        rule="a file written by torch.save()",
        received=" ".join(str(error).split())[:200],
        fix="copy the file again if it is truncated",
    )


def _big_endian(path: Path) -> UserError:
    return UserError(
        f"{path} was written on a machine with another byte order",
        rule=f"{_LITTLE}-endian numbers",
        fix="save the weights as .safetensors there",
    )


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, Opaque) and "_rebuild" in value.kind)


def _stored(
    path: Path, name: str, tensor: Any, data: np.ndarray, places: Places, torch_layout: bool
) -> Stored:
    """Return a view of a storage, after checking that it contains all elements of the tensor."""
    kind = tensor.kind if isinstance(tensor, Opaque) else ""
    start, size = (0, 0) if kind else places.get(tensor.storage.key, (0, 0))
    # A tensor with strides of 0 can have any number of elements in a storage of one.
    dtype = None if kind else dtype_of(tensor.storage.dtype)
    if dtype is None or math.prod(tensor.shape) * dtype.itemsize > size:
        raise UserError(
            f"{path}: {name} is not a plain tensor",
            rule="a dense tensor with all values stored in the file",
            received=kind or f"shape {tensor.shape}, {size:,} bytes",
        )
    try:
        array: np.ndarray = np.ndarray(
            tensor.shape,
            dtype,
            data[start : start + size],
            tensor.offset * dtype.itemsize,
            tuple(stride * dtype.itemsize for stride in tensor.strides),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise _incomplete(path, ValueError(f"{name} extends beyond its storage")) from error
    return Stored(name, tensor.shape, tensor.storage.dtype, lambda: array, torch_layout)
