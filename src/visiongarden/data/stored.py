"""`decode_stored`: decode an image file to all of its channels, in the type as stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data.decoding import decode_bytes
from visiongarden.data.in_flight import decoding
from visiongarden.data.layout import Layout, layout_of
from visiongarden.data.orientation import oriented
from visiongarden.data.tiff_pixels import SUPPORTED, read_tiff
from visiongarden.errors import DataError
from visiongarden.storage.damage import refuse_damaged
from visiongarden.storage.header import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_PIXELS_PER_BYTE,
    MAX_SMALL_PIXELS,
    Header,
    format_of,
    header_of_bytes,
)
from visiongarden.storage.npy import npy_header
from visiongarden.storage.place import read_bytes
from visiongarden.storage.tiff import TiffHeader, tiff_header

_PIXEL = 3
"""Bytes of a pixel of 8-bit RGB, for which the limits of `storage.header` are stated."""

_EXACT = 2**24
"""Every integer up to this one is exact in float32."""


def decode_stored(path: Any) -> np.ndarray:
    """Decode an image file to its channels and values as stored.

    JPEG, PNG, BMP, WebP, TIFF and NPY files are read, of 1 to 16 channels. Alpha is a channel, and
    a palette is expanded to RGB. The EXIF orientation is applied.

    Args:
        path: A path, an archive member or a record.

    Returns:
        Array (height, width, channels) of uint8, uint16 or float32. Other integers and floats are
        converted to float32, integers without loss.

    Raises:
        DataError: The file does not exist, is not an image, is truncated or too large, has values
            that are not finite, or a type or number of channels that is not supported.

    Example:
        >>> np.save("five.npy", np.arange(8 * 6 * 5, dtype=np.uint16).reshape(8, 6, 5))
        >>> image = vg.data.decode_stored("five.npy")
        >>> image.shape, image.dtype, image[0, 1].tolist()
        ((8, 6, 5), dtype('uint16'), [5, 6, 7, 8, 9])
    """
    path = Path(path) if isinstance(path, str) else path
    return decode_stored_bytes(read_bytes(path, MAX_BYTES), path)


def decode_stored_bytes(raw: bytes, path: Any) -> np.ndarray:
    """Decode the bytes of an image file, see `decode_stored`; `path` names the file in messages."""
    header, layout = header_of_bytes(raw, path), layout_of(path, raw)
    found = format_of(raw)
    tags = tiff_header(raw, path) if found == "TIFF" else None
    stored = tags.dtype if tags else npy_header(raw, path).dtype if found == "NPY" else layout.dtype
    size = header.height * header.width * layout.channels * np.dtype(stored or "uint8").itemsize
    _refuse_large(size, len(raw), path)
    if layout.dtype == "uint8" and _is_read_as_rgb(tags, layout):
        # The checks of `decode_bytes` detect more kinds of damage.
        image = np.ascontiguousarray(decode_bytes(raw, path)[..., : layout.channels])
    else:
        with decoding(size // _PIXEL):
            if found == "NPY":
                image = _as_layout(_npy(raw, path), path)
            elif tags is not None:
                image = _as_layout(read_tiff(raw, tags, path), path)
                image = oriented(image, tags.orientation)
            else:
                image = _by_opencv(raw, header, path)
    if found == "PNG" and layout.channels == 2:  # OpenCV repeats the gray of gray and alpha
        image = np.ascontiguousarray(image[..., [0, 3]])
    if (image.shape, image.dtype.name) != ((*header.size, layout.channels), layout.dtype):
        raise DataError(
            f"{path}: the decoded image is {image.dtype} {image.shape}",
            rule=f"{layout}, {header.size[1]} × {header.size[0]} pixels, as in the file header",
        )
    return image


def _refuse_large(size: int, file_size: int, path: Any) -> None:
    """Apply the limits on 8-bit RGB images to the bytes of any image."""
    most = max(_PIXEL * MAX_SMALL_PIXELS, _PIXEL * MAX_PIXELS_PER_BYTE * file_size)
    if size > min(most, _PIXEL * MAX_PIXELS):
        raise DataError(
            f"{path}: an image of {size:,} bytes is too large for a file of {file_size:,} bytes",
            rule=f"at most {_PIXEL * MAX_PIXELS:,} bytes; above {_PIXEL * MAX_SMALL_PIXELS:,}, at "
            f"most {_PIXEL * MAX_PIXELS_PER_BYTE} for each byte of the file",
            fix="cut the image into tiles",
        )


def _npy(raw: bytes, path: Any) -> np.ndarray:
    header = npy_header(raw, path)
    dtype = np.dtype(header.dtype).newbyteorder(header.order)
    count = int(np.prod(header.shape, dtype=object))
    if len(raw) - header.start < count * dtype.itemsize:
        raise DataError(
            f"{path}: the image is truncated",
            rule=f"{count * dtype.itemsize:,} bytes for shape {header.shape} of {header.dtype}",
            received=f"{len(raw) - header.start:,} bytes",
            fix="copy the file again",
        )
    flat = np.frombuffer(raw, dtype, count, header.start)
    image = flat.reshape(header.shape, order="F" if header.by_columns else "C")
    return image[..., None] if image.ndim == 2 else image


def _is_read_as_rgb(tags: TiffHeader | None, layout: Layout) -> bool:
    """Return whether the channels are the first one or all three of the image decoded to RGB."""
    if not layout.is_rgb or layout.channels not in (1, 3):
        return False
    # OpenCV converts palettes and color spaces, and decompresses what tifffile cannot.
    return tags is None or tags.needs_conversion or tags.compression not in SUPPORTED


def _as_layout(image: np.ndarray, path: Any) -> np.ndarray:
    """Convert stored numbers to uint8, uint16 or float32 in native byte order, contiguous."""
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        return np.require(image, image.dtype.newbyteorder("="), ["C", "W"])
    _refuse_unusable(image, path)
    return np.require(image, np.float32, ["C", "W"])


def _refuse_unusable(image: np.ndarray, path: Any) -> None:
    """Refuse values that float32 cannot represent, or that make a loss infinite or NaN."""
    if image.dtype.kind in "iu":
        low, high = int(image.min()), int(image.max())
        if image.dtype.itemsize > 2 and max(-low, high) > _EXACT:
            raise DataError(
                f"{path}: {image.dtype} values from {low:,} to {high:,} are not exact in float32",
                rule=f"values from {-_EXACT:,} to {_EXACT:,}",
                fix="store them as uint16, or divided, as float32",
            )
        return
    # The sum is not finite if a value is not, and needs no memory, unlike `isfinite`.
    with np.errstate(over="ignore", invalid="ignore"):
        total = image.sum(dtype=np.float64)
    if np.isfinite(total) and (image.dtype.itemsize < 8 or np.abs(image).max() < _MAX_FLOAT):
        return
    count = int(image.size - np.isfinite(image).sum())
    raise DataError(
        f"{path}: {count:,} values are not finite"
        if count
        else f"{path}: a value is outside the range of float32",
        rule="finite values; NaN marks pixels without data, and would make a model's loss NaN",
        fix="write the file again with np.nan_to_num(image, nan=0, posinf=0, neginf=0)",
    )


_MAX_FLOAT = float(np.finfo(np.float32).max)


def _by_opencv(raw: bytes, header: Header, path: Any) -> np.ndarray:
    """Decode a PNG or WebP file with 16 bits or alpha."""
    refuse_damaged(raw, path)
    try:
        image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"{path}: the image cannot be decoded", received=str(error)) from error
    if image is None:
        raise DataError(f"{path}: the image cannot be decoded")
    image = np.atleast_3d(image)
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[2], [0])  # from BGR, BGRA
    return oriented(image[..., order], header.orientation)
