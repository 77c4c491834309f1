"""Decode TIFF files of any number of channels with tifffile.

OpenCV reads only the first of more than four channels, and wrong values in the last column of
tiles; Pillow opens a few combinations of channels and types. Strips and tiles are decompressed
here, where their size is known: tifffile alone would unpack a small file to any size.
"""

from __future__ import annotations

import io
import logging
import math
import struct
import zlib
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from visiongarden.errors import DataError
from visiongarden.storage.tiff import TiffHeader

MAX_SEGMENT = 64 * 2**20
"""Strips and tiles may have more bytes than this only if the image has them too."""

_NONE, _LZW, _PACK_BITS, _DEFLATE = (1,), 5, 32773, (8, 32946)
_FLOAT_PREDICTOR = 3
SUPPORTED = (*_NONE, _LZW, _PACK_BITS, *_DEFLATE)
"""Compression schemes that are decoded here."""


def read_tiff(raw: bytes, header: TiffHeader, path: Any) -> np.ndarray:
    """Decode the first page of a TIFF file.

    Args:
        raw: all bytes of the file.
        header: its header, whose size and type are within the limits.
        path: name of the file in messages.

    Returns:
        Array (height, width, channels) of the stored type and native byte order, not rotated.

    Raises:
        DataError: the file is damaged, truncated, or has an unsupported compression.
    """
    if header.compression not in SUPPORTED:
        raise DataError(
            f"{path}: the compression {header.compression} of the TIFF file is not supported",
            rule="no compression, deflate, LZW or PackBits",
            fix=_deflated(path, header.channels),
        )
    tifffile = _tifffile()
    try:
        with tifffile.TiffFile(io.BytesIO(raw), **_plain()) as file:
            return _decoded(file.pages.first, raw, header)
    # A damaged file makes tifffile raise any type.
    except Exception as error:
        received = error.what if isinstance(error, DataError) else str(error)[:200]
        raise DataError(
            f"{path}: the image cannot be decoded", received=received, fix="copy the file again"
        ) from error


def _deflated(path: Any, channels: int) -> str:
    name = repr(str(path))
    planar = ", planarconfig='contig'" if channels > 1 else ""
    return (
        f"with imagecodecs installed: tifffile.imwrite({name}, tifffile.imread({name}), "
        f"compression='zlib', photometric='minisblack'{planar})"
    )


@cache
def _tifffile() -> ModuleType:
    # Imported when the first file needs it, because the import takes a sixth of a second.
    import tifffile

    # It logs each unusual tag, which `logging` prints by default.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    return tifffile


def _plain() -> dict[str, bool]:
    """Return arguments that keep tifffile from loading what vendors store in other pages."""
    return {f"is_{kind}": False for kind in ("lsm", "ndpi", "scanimage", "stk", "eer", "ome")}


def _decoded(page: Any, raw: bytes, header: TiffHeader) -> np.ndarray:
    expected = (header.height, header.width, header.channels, header.dtype)
    found = (page.imagelength, page.imagewidth, page.samplesperpixel, str(page.dtype))
    if found != expected or page.imagedepth != 1 or page.shaped[1] != 1:
        raise DataError("the tags of the image contradict each other")
    shape, count = _segments(page)
    if min(len(page.dataoffsets), len(page.databytecounts)) < count:
        raise DataError("strips or tiles are missing")
    # The segments reach tifffile uncompressed.
    compression, page.compression = page.compression, 1
    predictor = page.predictor
    if predictor == _FLOAT_PREDICTOR:
        page.predictor = 1
    size = math.prod(shape) * page.dtype.itemsize
    image = np.zeros(page.shaped, page.dtype)
    for index in range(count):
        start, length = page.dataoffsets[index], page.databytecounts[index]
        if start == 0 and length == 0:
            continue  # a sparse file omits segments of zeros
        if not 0 < length <= len(raw) - start:
            raise DataError("the file is truncated")
        _, where, part = page.decode(None, index)
        data = _decompressed(raw[start : start + length], compression, size, page, shape, part)
        if predictor == _FLOAT_PREDICTOR:
            data = _undo_float_predictor(data, page, shape[1], shape[2])
        segment, _, _ = page.decode(data, index)
        plane, _, top, left, _ = where
        area = image[plane, 0, top : top + part[1], left : left + part[2]]
        area[:] = segment[0, : area.shape[0], : area.shape[1]]
    # (planes, 1, height, width, channels of a plane): one of the two counts channels.
    image = image[:, 0]
    return np.ascontiguousarray(np.moveaxis(image[..., 0], 0, -1) if len(image) > 1 else image[0])


def _segments(page: Any) -> tuple[tuple[int, int, int], int]:
    """Return rows, columns and channels of a strip or tile, and the number of them.

    Raises:
        DataError: they are much larger than the image.
    """
    planes, _, height, width, channels = page.shaped
    rows, columns = page.rowsperstrip, width
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    if min(rows, columns) < 1 or page.tiledepth > 1:
        raise DataError("the tags of the image contradict each other")
    count = math.ceil(height / rows) * math.ceil(width / columns) * planes
    whole = page.dtype.itemsize * height * width * channels * planes
    if page.dtype.itemsize * rows * columns * channels * count > max(4 * whole, MAX_SEGMENT):
        raise DataError("the tiles are much larger than the image")
    return (rows, columns, channels), count


def _decompressed(
    data: bytes,
    compression: int,
    size: int,
    page: Any,
    shape: tuple[int, int, int],
    part: tuple[int, ...],
) -> bytes:
    """Return at most `size` bytes of a strip or tile."""
    if compression in _DEFLATE:
        unpacker = zlib.decompressobj()
        return unpacker.decompress(data, size)
    if compression in (_LZW, _PACK_BITS):
        return _by_libtiff(data, compression, part[1], shape[1] * shape[2] * page.dtype.itemsize)
    return data[:size]


def _by_libtiff(data: bytes, compression: int, rows: int, columns: int) -> bytes:
    """Decompress data as the only strip of a gray image of 8 bits, which Pillow reads by libtiff.

    Args:
        data: the compressed bytes.
        compression: LZW or PackBits.
        rows: number of rows.
        columns: bytes of a row.

    Raises:
        DataError: the image would be larger than `MAX_SEGMENT`.
    """
    if rows * columns > MAX_SEGMENT:
        raise DataError("the strips are too large; write the file with smaller strips or tiles")
    tags = ((256, columns), (257, rows), (258, 8), (259, compression), (262, 1), (273, 0),
            (277, 1), (278, rows), (279, len(data)))  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    entries = [struct.pack("<HHII", tag, 4, 1, start if tag == 273 else n) for tag, n in tags]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(entries) + bytes(4)
    with Image.open(io.BytesIO(head + data), formats=("TIFF",)) as image:
        return image.tobytes()


def _undo_float_predictor(data: bytes, page: Any, columns: int, channels: int) -> bytes:
    """Undo the floating point predictor (TIFF Technical Note 3).

    In each row, the most significant bytes of all values come first, then the next, and so on; each
    byte is the difference to the byte one pixel before it.
    """
    size = page.dtype.itemsize
    rows = np.frombuffer(data, np.uint8).reshape(-1, columns * size, channels)
    values = np.cumsum(rows, axis=1, dtype=np.uint8).reshape(-1, size, columns * channels)
    by_value = np.moveaxis(values, 1, -1)  # the most significant byte first
    return (by_value if page.parent.byteorder == ">" else by_value[..., ::-1]).tobytes()
