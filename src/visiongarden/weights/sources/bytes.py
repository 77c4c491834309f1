"""Arrays backed by the bytes of a file, and members of ZIP archives with their checksums."""

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
    """Map a file into memory as an array of bytes, so that only the bytes used are read."""
    if not path.stat().st_size:
        return np.zeros(0, np.uint8)
    # Copy-on-write, because some libraries accept only writable memory. The file never changes.
    return np.memmap(path, np.uint8, mode="c")


def array_at(data: np.ndarray, start: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return a view of the bytes at `start` as an array.

    Args:
        data: Bytes of the file.
        start: Offset of the array in bytes.
        shape: Shape of the array.
        dtype: NumPy's name of the dtype, or "bfloat16".

    Raises:
        ValueError: If the array extends beyond the end of the data.
    """
    return np.ndarray(shape, dtype_of(dtype), buffer=data, offset=start)


def dtype_of(name: str) -> np.dtype:
    """Return the dtype of a name of NumPy's, or of "bfloat16"."""
    return np.dtype(_NEW_TYPES.get(name, name))


@dataclass(frozen=True)
class Span:
    """Location of an uncompressed member of an archive.

    Attributes:
        name: Name of the member.
        start: Offset of its bytes in the file.
        size: Number of bytes.
        crc: CRC-32 that the archive's directory specifies.
    """

    name: str
    start: int
    size: int
    crc: int


def span_of(data: np.ndarray, member: zipfile.ZipInfo) -> Span | None:
    """Locate a member's bytes in a ZIP archive.

    Returns:
        The location, or None if the member is compressed or encrypted.

    Raises:
        BadZipFile: If the member is not at the offset that the directory specifies, or extends
            beyond the end of the file.
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        return None
    # The local header may have a longer extra field than the directory. Its length is needed, and
    # `zipfile` offers no public access to it.
    header = bytes(data[member.header_offset : member.header_offset + 30])
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(
            f"{member.filename} is not at the offset that the directory specifies"
        )
    name, extra = struct.unpack("<HH", header[26:])
    start = member.header_offset + 30 + name + extra
    if start + member.file_size > len(data):
        raise zipfile.BadZipFile(f"{member.filename} extends beyond the end of the file")
    return Span(member.filename, start, member.file_size, member.CRC)


def check_spans(path: Path, data: np.ndarray, spans: Iterable[Span]) -> None:
    """Verify the checksums of an archive's members.

    Raises:
        UserError: If the bytes of a member do not have the CRC-32 that the directory specifies.
    """
    wrong = [span.name for span in spans if _crc(data, span.start, span.size) != span.crc]
    if wrong:
        raise UserError(
            f"{path} is damaged: the checksum of {wrong[0]} does not match",
            fix="copy the file again from its source",
        )


def _crc(data: np.ndarray, start: int, size: int) -> int:
    value = 0
    for offset in range(start, start + size, _BLOCK):
        value = zlib.crc32(memoryview(data)[offset : min(offset + _BLOCK, start + size)], value)  # type: ignore[arg-type]
    return value


def crcs(arrays: list[np.ndarray]) -> list[int]:
    """Compute the CRC-32 of each array's values in several threads; zlib releases the GIL."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda array: zlib.crc32(_contiguous(array)), arrays))


def _contiguous(array: np.ndarray) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class Window(io.RawIOBase):
    """Read-only file object on a part of another file."""

    def __init__(self, data: np.ndarray, start: int, size: int) -> None:
        self._data, self._position = memoryview(data)[start : start + size], 0  # type: ignore[arg-type]

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position relative to the start, the current position or the end."""
        self._position = offset + {0: 0, 1: self._position, 2: len(self._data)}[whence]
        return self._position

    def tell(self) -> int:
        """Return the current position."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read bytes into `buffer`, and return their number."""
        view = memoryview(buffer).cast("B")
        part = self._data[self._position : self._position + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)
