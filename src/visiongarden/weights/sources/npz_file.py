"""Reading `.npz` files: archives of NumPy arrays, of which only numbers are read."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.weights.sources.bytes import Span, Window, check_spans, mapped, span_of
from visiongarden.weights.sources.stored import Source, Stored
from visiongarden.weights.torch_names import IGNORED, looks_like_torch

_RATIO, _UNPACKED = 64, 64 * 2**20


@contextmanager
def open_npz(path: Path, layout: str) -> Iterator[Source]:
    """Open an `.npz` file, as `np.savez` and `np.savez_compressed` write it.

    Args:
        path: Path of the file.
        layout: Naming and axis order of the arrays, "keras" or "torch"; "auto" decides by each
            name.

    Raises:
        UserError: If the file is not a complete archive of numeric arrays, or contains pickled
            objects.
    """
    data = mapped(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            spans = [span_of(data, member) for member in members]
            found, ignored = [], []
            _check_size(path, sum(member.file_size for member in members), len(data))
            for member, span in zip(members, spans, strict=True):
                name = member.filename.removesuffix(".npy")
                if name.replace("/", ".").rsplit(".", 1)[-1] in IGNORED:
                    ignored.append(name)
                    continue
                torch = looks_like_torch(name) if layout == "auto" else layout == "torch"
                found.append(_stored(path, archive, member, span, data, name, torch))
    except Exception as error:  # A damaged archive makes zipfile raise errors of many types.
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path} is not a complete .npz file",
            rule="an archive of numeric arrays, written by np.savez()",
            received=" ".join(str(error).split())[:200],
            fix="copy the file again if it is truncated",
        ) from error
    plain = [span for span in spans if span is not None]
    yield Source(
        str(path), tuple(found), tuple(ignored), verify=lambda: check_spans(path, data, plain)
    )


def _check_size(path: Path, claimed: int, size: int) -> None:
    """Raise an error if a packed archive claims far more than its own size."""
    if claimed > _UNPACKED + _RATIO * size:
        raise UserError(
            f"{path} is too large when unpacked",
            rule=f"at most {_RATIO} times the file's {size:,} bytes, plus {_UNPACKED:,}",
            received=f"{claimed:,} bytes",
            fix="save the arrays with np.savez(), which does not pack them",
        )


def _stored(
    path: Path, archive: Any, member: Any, span: Span | None, data: Any, name: str, torch: bool
) -> Stored:
    """Read the header of an array, and return a view of its values where they are not packed."""
    raw = archive.read(member) if span is None else None
    stream = (
        Window(data, span.start, span.size) if span else Window(_bytes(raw), 0, len(raw or b""))
    )
    version = np.lib.format.read_magic(stream)
    header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, is_fortran, dtype = header(stream)
    # NumPy lacks bfloat16, whose bytes arrive as another type.
    if dtype.kind not in "fiub" or dtype.hasobject:
        raise UserError(
            f"{path}: {name} is not an array of numbers",
            rule="numbers; objects are pickled, and pickles may contain code",
            received=str(dtype),
            fix="save the numbers alone with np.savez()",
        )
    start = stream.tell()
    whole = data[span.start : span.start + span.size] if span else _bytes(raw)
    array: np.ndarray = np.ndarray(shape, dtype, whole, start, order="F" if is_fortran else "C")
    read: Callable[[], Any] = lambda: array  # noqa: E731
    return Stored(name, tuple(shape), dtype.name, read, torch)


def _bytes(raw: bytes | None) -> np.ndarray:
    return np.frombuffer(raw or b"", np.uint8)
