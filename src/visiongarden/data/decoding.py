"""Decode image files to pixels.

The result is the image as a viewer displays it: EXIF rotation is applied, and boxes refer to the
rotated image.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden.data.in_flight import decoding
from visiongarden.data.orientation import oriented
from visiongarden.data.tiff_pixels import SUPPORTED, read_tiff
from visiongarden.errors import DataError
from visiongarden.storage.damage import lacks_scans, refuse_damaged
from visiongarden.storage.header import MAX_BYTES, header_of_bytes, refuse_other_formats
from visiongarden.storage.place import read_bytes
from visiongarden.storage.tiff import TiffHeader, tiff_header
from visiongarden.types import ImageSize

_REDUCED = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
)


def decode(path: Any, min_size: ImageSize | None = None) -> np.ndarray:
    """Decode a JPEG, PNG, BMP, WebP or TIFF file to uint8 RGB of shape (height, width, 3).

    `Channels` decodes other numbers of channels and 16 bits.

    Args:
        path: A path, an archive member or a record.
        min_size: (height, width) of a canvas that the decoded image must still fill. A JPEG that is
            two, four or eight times as large is decoded at that fraction of its size, which is much
            faster.

    Raises:
        DataError: The file does not exist, is not an image, is truncated, is too large, or has
            channels that RGB cannot represent.
    """
    if isinstance(path, Path) and not path.is_file():
        raise DataError(f"{path}: the image does not exist")
    return decode_bytes(read_bytes(path, MAX_BYTES), path, min_size)


def decode_bytes(raw: bytes, path: Any, min_size: ImageSize | None = None) -> np.ndarray:
    """Decode the bytes of an image file, see `decode`; `path` names the file in messages."""
    # Detected by the first bytes, whatever the extension: Pillow starts Ghostscript for PostScript.
    refuse_other_formats(raw, path)
    refuse_damaged(raw, path)
    header = header_of_bytes(raw, path)
    how = cv2.IMREAD_COLOR_RGB
    if min_size is not None and raw.startswith(b"\xff\xd8"):
        height, width = header.size
        spare = max(height / min_size[0], width / min_size[1])
        # OpenCV has no RGB variant of the reduced modes; the result is converted below.
        how = next((flag for times, flag in _REDUCED if spare >= times), how)
    # Boxes are checked against the orientation in `header`; OpenCV's own EXIF parser may disagree
    # with it. OpenCV ignores IMREAD_IGNORE_ORIENTATION for TIFF, so TIFF is not rotated again.
    is_tiff = raw.startswith((b"II", b"MM"))
    if is_tiff:
        tags = tiff_header(raw, path)
        _refuse_other_channels(tags, path)
        if _is_misread(tags):
            with decoding(header.height * header.width):
                return _rgb_of_gray(raw, tags, path)
    flags = how if is_tiff else how | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with decoding(header.height * header.width):
            image = cv2.imdecode(np.frombuffer(raw, np.uint8), flags)
    except cv2.error as error:
        raise DataError(f"{path}: the image cannot be decoded", received=str(error)) from error
    if image is None:
        raise DataError(f"{path}: the image cannot be decoded")
    if raw.startswith(b"\xff\xd8") and _ended_early(raw, image, flags):
        raise DataError(f"{path}: the image is truncated", fix="copy the file again")
    if not is_tiff:
        image = _turned(image, header.orientation)
    if how == cv2.IMREAD_COLOR_RGB and image.shape[:2] != header.size:
        raise DataError(
            f"{path}: the decoded image has {image.shape[1]} × {image.shape[0]} pixels",
            rule=f"{header.size[1]} × {header.size[0]}, as in the file header",
        )
    if how != cv2.IMREAD_COLOR_RGB:
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return np.asarray(image, np.uint8)


def _refuse_other_channels(tags: TiffHeader, path: Any) -> None:
    """Refuse a TIFF image of which OpenCV would silently read the first channel, or other values.

    Further pages are ignored, as by image viewers, and so is a fourth channel after RGB.
    """
    if not (replace(tags, pages=1).is_rgb or tags.begins_with_rgb):
        raise DataError(
            f"{path}: the image has {tags.channels} channels of {tags.dtype or 'unknown type'}, "
            "which RGB cannot represent",
            rule="gray or RGB of 8 or 16 bits; a further channel must be tagged as alpha",
            fix="visiongarden.data.Channels('stored').decode(path) reads its channels as stored",
        )


def _is_misread(tags: TiffHeader) -> bool:
    """Return whether OpenCV reads wrong values from the last, partly filled column of tiles.

    OpenCV 4.14 and 5.0 do so if a pixel of gray has more than one byte.
    """
    partly = tags.tile_width and tags.width % tags.tile_width
    is_gray = tags.channels <= 2 and not tags.needs_conversion
    several_bytes = tags.channels * tags.bits > 8
    return bool(partly and is_gray and several_bytes and tags.compression in SUPPORTED)


def _rgb_of_gray(raw: bytes, tags: TiffHeader, path: Any) -> np.ndarray:
    """Decode gray TIFF without OpenCV, to the values that OpenCV returns for untiled images."""
    gray = oriented(read_tiff(raw, tags, path)[..., 0], tags.orientation)
    gray = (gray >> 8).astype(np.uint8) if gray.dtype == np.uint16 else gray
    return cv2.cvtColor(255 - gray if tags.is_inverted else gray, cv2.COLOR_GRAY2RGB)


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1 to 8 (TIFF 6.0, tag 274), to an image."""
    if orientation >= 5:  # stored rows are displayed as columns
        image = cv2.transpose(image)
    # Flip codes of OpenCV: 0 is vertical, 1 is horizontal, -1 is both.
    flips = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
    return cv2.flip(image, flips[orientation]) if orientation in flips else image


# Decodes as Huffman codes that fill blocks; contains no byte 0xFF, which would start a marker.
_FILLER = bytes(range(1, 255)) * 4


def _ended_early(raw: bytes, image: np.ndarray, flags: int) -> bool:
    """Return whether a JPEG's end marker precedes the data of its last pixels.

    libjpeg leaves missing blocks at zero, which is middle gray, and only prints a warning. The
    image may really be gray there, so it is decoded again with more bytes before the end marker:
    they change the result only if blocks are missing.
    """
    if not (image[-1, -2:] == 128).all():
        return lacks_scans(raw)
    end = raw.rfind(b"\xff\xd9")
    longer = np.frombuffer(raw[:end].rstrip(b"\xff") + _FILLER + raw[end:], np.uint8)
    decoded = cv2.imdecode(longer, flags)
    return decoded is None or not np.array_equal(decoded, image)
