"""Read shape and type of an image from the header of a NumPy file (.npy)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any, Literal

from visiongarden.errors import DataError
from visiongarden.types import ImageSize

MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000
"""Longest header in bytes, as NumPy limits it."""

MAX_CHANNELS = 16
"""Largest number of channels of an image."""

MIN_GRAY_SIDE = 5
_ITEMS = {
    "descr": re.compile(rb"['\"]descr['\"]\s*:\s*['\"]([<>|=]?[a-zA-Z?]\d*)['\"]"),
    "fortran_order": re.compile(rb"['\"]fortran_order['\"]\s*:\s*(True|False)"),
    "shape": re.compile(
        rb"['\"]shape['\"]\s*:\s*\(\s*((?:\d{1,18}L?\s*,\s*)*(?:\d{1,18}L?)?)\s*\)"
    ),
}
_TYPES = {
    "b1": "bool", "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "i1": "int8",
    "i2": "int16", "i4": "int32", "i8": "int64", "f2": "float16", "f4": "float32", "f8": "float64",
}  # fmt: skip


@dataclass(frozen=True)
class NpyHeader:
    """Header of an image in a NumPy file.

    Attributes:
        shape: (height, width) or (height, width, channels).
        order: byte order, "<" or ">".
        dtype: NumPy's name of the numbers.
        by_columns: whether the first index varies fastest ("Fortran order").
        start: position of the first number in the file, bytes.
    """

    shape: tuple[int, ...]
    order: Literal["<", ">"]
    dtype: str
    by_columns: bool
    start: int

    @property
    def size(self) -> ImageSize:
        """(height, width) in pixels."""
        return self.shape[0], self.shape[1]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[2] if len(self.shape) == 3 else 1


def npy_header(raw: bytes, path: Any) -> NpyHeader:
    """Parse the header of a NumPy file without evaluating it.

    Args:
        raw: the first bytes of the file, at least its header.
        path: name of the file in messages.

    Raises:
        DataError: the header is damaged, or the array is not an image.
    """
    start, text = _text(raw, path)
    found = {name: pattern.search(text) for name, pattern in _ITEMS.items()}
    descr, order, sides = (match and match.group(1).decode() for match in found.values())
    if descr is None or order is None or sides is None:
        raise DataError(
            f"{path}: the NumPy file does not contain an array of numbers",
            rule="an array of uint8, uint16 or float32",
            fix=f"np.save({str(path)!r}, image.astype(np.float32))",
        )
    shape = tuple(int(side) for side in sides.replace("L", "").split(",") if side.strip())
    code = descr.lstrip("<>|=").replace("?", "b1")
    _check_shape(shape, path)
    return NpyHeader(
        shape, ">" if descr[0] == ">" else "<", _TYPES.get(code, descr), order == "True", start
    )


def _text(raw: bytes, path: Any) -> tuple[int, bytes]:
    """Return the end of the header and its text."""
    # Format versions: 1.0 has a length of 2 bytes, 2.0 and 3.0 have one of 4.
    form = {1: "<H", 2: "<I", 3: "<I"}.get(raw[6] if len(raw) > 6 else 0)
    start = 8 + struct.calcsize(form) if form else 0
    if form is None or len(raw) < start:
        raise DataError(f"{path}: the NumPy file is damaged", fix="copy the file again")
    (length,) = struct.unpack_from(form, raw, 8)
    if length > MAX_HEADER or len(raw) < start + length:
        raise DataError(
            f"{path}: the header of the NumPy file is damaged",
            rule=f"at most {MAX_HEADER:,} bytes, within the file",
            received=f"{length:,} bytes",
        )
    return start + length, raw[start : start + length]


def _check_shape(shape: tuple[int, ...], path: Any) -> None:
    """Refuse an array that is not one image with its channels last."""
    if len(shape) == 3 and 1 <= shape[2] <= MAX_CHANNELS and min(shape) > 0:
        return
    # A 2-D array with a side below 5 is more likely a table of boxes than a gray image.
    if len(shape) == 2 and min(shape) >= MIN_GRAY_SIDE:
        return
    fix = None
    if len(shape) == 3 and 1 <= shape[0] <= MAX_CHANNELS:
        fix = f"channels last: np.save({str(path)!r}, np.moveaxis(image, 0, -1))"
    elif len(shape) == 4:
        fix = "one file for each image: np.save(path, images[0])"
    raise DataError(
        f"{path}: the array is not an image",
        rule=f"shape (height, width) or (height, width, channels) with up to {MAX_CHANNELS} "
        "channels",
        received=f"shape {shape}",
        fix=fix,
    )
