"""`Layout`: number of channels and type of the values of an image, from the header of its file."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.errors import DataError
from visiongarden.storage.header import MAX_BYTES, format_of, jpeg_segments, refuse_other_formats
from visiongarden.storage.npy import MAX_CHANNELS, npy_header
from visiongarden.storage.place import read_bytes, read_ends
from visiongarden.storage.tiff import TiffHeader, tiff_header

_FIRST = 16384
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_READ_AS = {
    "uint8": "uint8", "uint16": "uint16", "float32": "float32",
    "int8": "float32", "int16": "float32", "int32": "float32", "uint32": "float32",
    "float16": "float32", "float64": "float32",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Number of channels and type of the values of an image, (height, width, channels).

    Attributes:
        channels: number of channels, 1 to 16.
        dtype: "uint8", "uint16" or "float32".
        is_rgb: whether 8-bit RGB can represent the image, apart from depth and alpha. Not compared.

    Example:
        >>> str(vg.data.Layout(4, "uint16"))
        '4 channels of uint16'
    """

    channels: int
    dtype: str
    is_rgb: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        return f"{self.channels} channel{'s' if self.channels > 1 else ''} of {self.dtype}"

    def check(self, image: np.ndarray, path: Any) -> None:
        """Check that a decoded image has this layout.

        Args:
            image: array (height, width, channels).
            path: name of the image in the message.

        Raises:
            DataError: it has another layout.
        """
        found = Layout(image.shape[2], str(image.dtype))
        if found != self:
            raise DataError(
                f"{path}: the image has {found}",
                rule=f"{self}, as the other images of the dataset",
            )


RGB = Layout(3, "uint8")


def layout_of(path: Any, raw: bytes | None = None) -> Layout:
    """Return the layout of an image as it is stored, without decoding it.

    Values of a type that models do not take are converted to float32 without loss, and so are those
    of float64, rounded.

    Args:
        path: a path, an archive member or a record.
        raw: all bytes of the file, if they have been read already.

    Raises:
        DataError: the file does not exist, is not an image, or has a type or a number of channels
            that is not supported.
    """
    first = raw
    if first is None:
        first = (
            read_ends(path, _FIRST)[0] if isinstance(path, Path) else read_bytes(path, MAX_BYTES)
        )
    found = format_of(first)
    if found == "NPY":
        header = npy_header(first, path)
        return Layout(header.channels, read_as(header.dtype, path), False)
    refuse_other_formats(first, path)
    if found == "TIFF":
        source = path if raw is None and isinstance(path, Path) else first
        return tiff_layout(tiff_header(source, path), path)
    if found == "PNG":
        return _png(first, path, is_complete=raw is not None or not isinstance(path, Path))
    if found == "JPEG":
        return Layout(_jpeg_channels(first, path, raw), "uint8")
    return Layout(_bmp_channels(first) if found == "BMP" else _webp_channels(first), "uint8")


def tiff_layout(header: TiffHeader, path: Any) -> Layout:
    """Return the layout of a TIFF image as it is decoded.

    Raises:
        DataError: its type or number of channels is not supported, or it has several pages.
    """
    if header.pages > 1 and not header.is_rgb:
        raise DataError(
            f"{path}: the file has {header.pages} pages of one size",
            rule="one page with all channels; pages may also be slices or times. Channels('rgb') "
            "reads the first page alone",
            fix=_one_page(path) if header.pages <= MAX_CHANNELS else "write a file for each page",
        )
    if header.needs_conversion and header.is_rgb:
        return Layout(1 if header.photometric in (0, 1) else 3, "uint8")
    if header.dtype is None or header.needs_conversion or header.channels > MAX_CHANNELS:
        raise DataError(
            f"{path}: the image has a format that is not supported",
            rule=f"up to {MAX_CHANNELS} channels of 8, 16 or 32 bits each, all of one type",
            received=f"{header.channels} channels of {header.bits or 'different'} bits, "
            f"photometric interpretation {header.photometric}",
            fix="tifffile.imwrite(path, image.astype(np.float32), photometric='minisblack', "
            "planarconfig='contig')",
        )
    return Layout(header.channels, read_as(header.dtype, path), header.is_rgb)


def _one_page(path: Any) -> str:
    name = repr(str(path))
    return (
        f"if they are channels: tifffile.imwrite({name}, np.moveaxis(tifffile.imread({name}), 0, "
        "-1), photometric='minisblack', planarconfig='contig')"
    )


def read_as(dtype: str, path: Any) -> str:
    """Return the type in which stored numbers are read: "uint8", "uint16" or "float32".

    Raises:
        DataError: the type is not supported.
    """
    if dtype not in _READ_AS:
        raise DataError(
            f"{path}: the image has values of {dtype}",
            rule=", ".join(_READ_AS),
            fix=f"np.save({str(path)!r}, image.astype(np.uint8))  # or np.uint16, np.float32",
        )
    return _READ_AS[dtype]


def _png(raw: bytes, path: Any, is_complete: bool) -> Layout:
    """Return the layout of a PNG file: a palette is RGB, and transparency is an alpha channel."""
    depth, color = raw[24:26].ljust(2, b"\xff")
    if raw[12:16] != b"IHDR" or color not in _PNG_CHANNELS or depth > 16:
        raise DataError(f"{path}: the image is damaged", fix="copy the file again")
    channels = _PNG_CHANNELS[color]
    if color in (2, 3):
        transparent = _has_chunk_before_data(raw, b"tRNS")
        if transparent is None and not is_complete:
            return layout_of(path, read_bytes(path, MAX_BYTES))
        channels += bool(transparent)
    return Layout(channels, "uint16" if depth == 16 else "uint8")


def _has_chunk_before_data(raw: bytes, name: bytes) -> bool | None:
    """Return whether a PNG file has a chunk before its pixels; None if `raw` ends before them."""
    at = 8
    while at + 8 <= len(raw):
        length, found = struct.unpack_from(">I4s", raw, at)
        if found in (name, b"IDAT"):
            return bool(found == name)
        at += 12 + length
    return None


def _jpeg_channels(first: bytes, path: Any, raw: bytes | None) -> int:
    for marker, start, _ in jpeg_segments(first):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            # Byte 5 of a frame header is the number of components; CMYK is decoded to RGB.
            return 1 if first[start + 5 : start + 6] == b"\x01" else 3
    if raw is None and isinstance(path, Path):
        raw = read_bytes(path, MAX_BYTES)
        return _jpeg_channels(raw, path, raw)
    raise DataError(f"{path}: the image is damaged", fix="copy the file again")


def _bmp_channels(raw: bytes) -> int:
    """Return 1 for a BMP file with a gray palette, else 3; OpenCV ignores its alpha channel."""
    if len(raw) < 54:
        return 3
    size, bits, used = (struct.unpack_from(form, raw, at)[0] for form, at in _BMP_FIELDS)
    if bits > 8:
        return 3
    count = min(used or 1 << bits, 1 << bits)
    palette = np.frombuffer(raw, np.uint8, offset=min(14 + size, len(raw)))[: 4 * count]
    colors = palette[: len(palette) // 4 * 4].reshape(-1, 4)
    return 1 if (colors[:, :3] == colors[:, :1]).all() else 3


# Size of the header that the palette follows, bits per pixel, number of colors.
_BMP_FIELDS = (("<I", 14), ("<H", 28), ("<I", 46))


def _webp_channels(raw: bytes) -> int:
    """Return 4 for a WebP file with an alpha channel, else 3."""
    kind, flags = raw[12:16], raw[20:25].ljust(5, b"\0")
    if kind == b"VP8X":
        return 4 if flags[0] & 0x10 else 3
    # Lossless: signature, 14 bits each of width - 1 and height - 1, then the bit `alpha_is_used`.
    return 4 if kind == b"VP8L" and flags[4] & 0x10 else 3
