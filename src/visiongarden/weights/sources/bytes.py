"""Bytes of a file as arrays, without a copy; members of an archive and their checksums."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from visiongarden.errors import UserError

_BLOCK = 8 * 2**20
_NEW_TYPES = {"bfloat16": ml_dtypes.bfloat16}


def mapped(path: Path) -> np.ndarray:
    """A file's bytes as they are needed; writable for libraries that ask for it, never written."""
    if not path.stat().st_size:
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, mode="c")


def array_at(data: np.ndarray, start: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """The array that lies at `start`, as a view.

    Raises:
        ValueError: it reaches beyond the end.
    """
    return np.ndarray(shape, np.dtype(_NEW_TYPES.get(dtype, dtype)), buffer=data, offset=start)


@dataclass(frozen=True)
class Span:
    """Where an archive's uncompressed member lies in the file, and its CRC-32 by the directory."""

    name: str
    start: int
    size: int
    crc: int


def span_of(data: np.ndarray, member: zipfile.ZipInfo) -> Span | None:
    """Where a member's bytes lie; None where it is compressed or encrypted.

    Raises:
        BadZipFile: there is no such member at its place.
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        return None
    header = bytes(data[member.header_offset : member.header_offset + 30])
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"{member.filename} is not where the directory says")
    name, extra = struct.unpack("<HH", header[26:])
    start = member.header_offset + 30 + name + extra
    if start + member.file_size > len(data):
        raise zipfile.BadZipFile(f"{member.filename} reaches beyond the end of the file")
    return Span(member.filename, start, member.file_size, member.CRC)


def check_spans(path: Path, data: np.ndarray, spans: Iterable[Span]) -> None:
    """Raises a `UserError` where a member's bytes do not have the checksum of the directory."""
    wrong = [span.name for span in spans if _crc(data, span.start, span.size) != span.crc]
    if wrong:
        raise UserError(
            f"{path} is damaged: {wrong[0]} does not have the checksum that it was written with",
            fix="copy the file again from where it came",
        )


def _crc(data: np.ndarray, start: int, size: int) -> int:
    value = 0
    for place in range(start, start + size, _BLOCK):
        value = zlib.crc32(memoryview(data)[place : min(place + _BLOCK, start + size)], value)  # type: ignore[arg-type]
    return value


def crcs(arrays: list[np.ndarray]) -> list[int]:
    """CRC-32 of each array's values, on several threads."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda array: zlib.crc32(_contiguous(array)), arrays))


def _contiguous(array: np.ndarray) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class Window(io.RawIOBase):
    """A part of a file as a file of its own, to be read only."""

    def __init__(self, data: np.ndarray, start: int, size: int) -> None:
        self._data, self._place = memoryview(data)[start : start + size], 0  # type: ignore[arg-type]

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a place, counted from the start, from here or from the end."""
        self._place = offset + {0: 0, 1: self._place, 2: len(self._data)}[whence]
        return self._place

    def tell(self) -> int:
        """The place now."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fills `buffer` as far as there are bytes."""
        view = memoryview(buffer).cast("B")
        part = self._data[self._place : self._place + len(view)]
        view[: len(part)] = part
        self._place += len(part)
        return len(part)
