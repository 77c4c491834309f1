"""Read size and EXIF orientation of an image from its first bytes.

The headers of JPEG and PNG files are parsed here, ten times as fast as by Pillow. Unusual files and
the other formats are left to Pillow, except for NumPy files and for TIFF files that Pillow does not
support, such as those with more than four channels.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from visiongarden.errors import DataError
from visiongarden.storage.npy import MAGIC, npy_header
from visiongarden.storage.place import read_bytes, read_ends
from visiongarden.storage.tiff import tiff_header
from visiongarden.types import ImageSize

MAX_BYTES = 256 * 2**20
"""Largest image file that is read, in bytes."""

MAX_PIXELS = 200_000_000
"""Largest number of pixels of an image that is decoded."""

MAX_SMALL_PIXELS = 64_000_000
MAX_PIXELS_PER_BYTE = 8
"""Largest number of pixels for each byte of the file, for images above `MAX_SMALL_PIXELS`.

A PNG file of 24 KB can claim 200 million pixels, which take 1.1 GB of memory. A photograph has 2 to
8 pixels for each byte. An image of up to 64 million pixels is read whatever its file size, because
a uniform image compresses very well.
"""

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
"""Formats that Pillow and OpenCV may open. They support others, some of which start programs
(Pillow passes PostScript to Ghostscript) or are decoded by rarely tested libraries."""

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (MAGIC, "NPY"),
)
_ORIENTATION = 0x0112
_FIRST = 16384


@dataclass(frozen=True)
class Header:
    """Header of an image.

    Attributes:
        height: stored height in pixels, before the EXIF rotation.
        width: stored width in pixels.
        orientation: EXIF orientation, 1 to 8.
    """

    height: int
    width: int
    orientation: int = 1

    @property
    def size(self) -> ImageSize:
        """(height, width) after the EXIF rotation, as image viewers display it."""
        rotated = self.orientation in (5, 6, 7, 8)
        return (self.width, self.height) if rotated else (self.height, self.width)


def image_size(path: Any) -> ImageSize:
    """Return (height, width) of an image after the EXIF rotation, from its header alone.

    Raises:
        DataError: as `header_of`.
    """
    return header_of(path).size


def header_of(path: Any) -> Header:
    """Read the header of an image file, if possible from its first bytes.

    Args:
        path: a path, a member of an archive, or a record.

    Raises:
        DataError: the file does not exist, is neither one of `FORMATS` nor a NumPy file, or exceeds
            the limits on its pixels.
    """
    if not isinstance(path, Path):
        return header_of_bytes(bytes(read_bytes(path, MAX_BYTES)), path)
    try:
        first, _ = read_ends(path, _FIRST)
    except DataError as error:
        raise DataError(f"{path}: there is no such image") from error
    return _header(first, path, path)


def header_of_bytes(raw: bytes, path: Any) -> Header:
    """Read the header from all bytes of an image file; `path` names the file in messages.

    Raises:
        DataError: as `header_of`.
    """
    return _header(raw, raw, path)


def _header(first: bytes, source: Path | bytes, path: Any) -> Header:
    """Read the header from the first bytes of `source`, or from more of it if they are not enough.

    Raises:
        DataError: as `header_of`; also if an image has more pixels than its file justifies.
    """
    if first.startswith(MAGIC):
        header = Header(*npy_header(first, path).size)
    else:
        refuse_other_formats(first, path)
        header = _parsed(first) or _by_pillow(source, path)
    pixels = header.height * header.width
    if pixels <= MAX_SMALL_PIXELS:
        return header
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if pixels > min(MAX_PIXELS, max(MAX_SMALL_PIXELS, MAX_PIXELS_PER_BYTE * size)):
        raise DataError(
            f"{path}: an image of {header.width} × {header.height} pixels is too large for "
            f"{size:,} bytes",
            rule=f"at most {MAX_PIXELS:,} pixels; above {MAX_SMALL_PIXELS:,}, at most "
            f"{MAX_PIXELS_PER_BYTE} for each byte of the file",
            fix="cut the image into tiles",
        )
    return header


def format_of(raw: bytes) -> str | None:
    """Return which of `FORMATS` the first bytes of a file belong to, "NPY", or None."""
    if raw[:4] == b"RIFF":
        return "WEBP" if raw[8:12] == b"WEBP" else None
    return next((name for start, name in _STARTS if raw.startswith(start)), None)


def refuse_other_formats(raw: bytes, path: Any) -> None:
    """Refuse a file that is not one of `FORMATS`, before any library parses it.

    Raises:
        DataError: the first bytes are those of another format.
    """
    found = format_of(raw)
    if found == "NPY":
        raise DataError(
            f"{path}: a NumPy file has no RGB colors",
            rule="JPEG, PNG, BMP, WebP or TIFF",
            fix="visiongarden.data.Channels('stored').decode(path) reads its channels as stored",
        )
    if found is None:
        raise DataError(
            f"{path}: not an image of a supported format",
            rule="JPEG, PNG, BMP, WebP, TIFF or NPY; the file extension is ignored",
            received=f"a file that begins with {raw[:8]!r}" if raw else "an empty file",
            fix="convert it to PNG",
        )


def _by_pillow(source: Path | bytes, path: Any) -> Header:
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(file, formats=FORMATS) as image:
            # Pillow rotates the size of a TIFF file when it opens it, unlike that of other formats,
            # so the stored size is read from the tags ImageWidth and ImageLength.
            tiff = image.format == "TIFF"
            width, height = (image.tag_v2[256], image.tag_v2[257]) if tiff else image.size
            orientation = image.getexif().get(_ORIENTATION, 1)
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # a malicious header can make Pillow's plugins raise anything
        try:
            found = tiff_header(source, path)  # a TIFF file that Pillow does not support
        except DataError:
            raise DataError(f"{path}: not an image", received=str(error)) from error
        return Header(found.height, found.width, found.orientation)
    return Header(int(height), int(width), orientation if orientation in range(1, 9) else 1)


def _parsed(raw: bytes) -> Header | None:
    try:
        if raw.startswith(b"\xff\xd8\xff"):
            return _jpeg(raw)
        if raw.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(raw)
    except (struct.error, IndexError):
        pass
    return None


def _png(raw: bytes) -> Header | None:
    """Return the header of a PNG file, or None if it has EXIF data or is unusual."""
    if raw[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", raw, 16)
    at = 33  # after the signature (8 bytes) and IHDR (25)
    while raw[at + 4 : at + 8] not in (b"IDAT", b"eXIf"):
        if at + 8 > len(raw):
            return None
        at += struct.unpack_from(">I", raw, at)[0] + 12
    plain = raw[at + 4 : at + 8] == b"IDAT" and width and height
    return Header(height, width) if plain else None


def jpeg_segments(raw: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, length) of the segments of a JPEG file, as long as they are valid.

    `start` and `length` are those of a segment's content, which may be longer than `raw`. The data
    of scans is skipped.
    """
    at = 2
    while at + 4 <= len(raw) and raw[at] == 0xFF:
        marker = raw[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = int.from_bytes(raw[at + 2 : at + 4], "big")
        yield marker, at + 4, length - 2
        if length < 2:
            return
        at += 2 + length
        if marker == 0xDA:
            found = _MARKER.search(raw, at)
            at = len(raw) if found is None else found.start()


# Within the data of a scan, 0xFF is followed by 0 (an escaped 0xFF), a restart marker or a fill
# byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg(raw: bytes) -> Header | None:
    """Return the header of a JPEG file, or None if Pillow must read it."""
    orientation = 1
    for kind, start, length in jpeg_segments(raw):
        # SOF0 to SOF15 hold the size; 0xC4 (DHT), 0xC8 (JPG) and 0xCC (DAC) are other segments.
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", raw, start + 1)
            return Header(height, width, orientation) if height and width else None
        if kind == 0xE1:  # APP1
            tag = _exif(raw, start, length)
            if tag is None:
                return None
            orientation = tag
        if kind in (0xD9, 0xDA):  # end of the image, or its data, without a size
            return None
    return None


def _exif(raw: bytes, start: int, length: int) -> int | None:
    """Return the orientation in an APP1 segment, or None if Pillow must read it."""
    if raw[start : start + 6] != b"Exif\0\0" or start + length > len(raw):
        return None
    base = start + 6
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(raw[base : base + 4])
    if order is None:
        return None
    at = base + struct.unpack_from(f"{order}I", raw, base + 4)[0]
    (count,) = struct.unpack_from(f"{order}H", raw, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, many = struct.unpack_from(f"{order}HHI", raw, entry)
        if tag == _ORIENTATION:
            (value,) = struct.unpack_from(f"{order}H", raw, entry + 8)
            # Type 3 is SHORT, of which the standard has exactly one here.
            return value if (kind, many) == (3, 1) and 1 <= value <= 8 else None
    return 1
