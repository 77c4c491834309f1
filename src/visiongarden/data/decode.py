"""Bytes -> pixels, and pixels -> the canvas that a model sees.

An image is what a viewer shows: EXIF rotation is applied, and boxes refer to the rotated image.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from visiongarden.errors import DataError
from visiongarden.types import ImageSize, Placement

MOST_BYTES = 256 * 2**20
"""Largest image file that is read."""

MOST_PIXELS = 200_000_000
"""Largest image that is decoded; a small file can claim a huge one."""

_ROTATED = {5, 6, 7, 8}
_ORIENTATION = 0x0112


def image_size(path: Path) -> ImageSize:
    """(height, width) as a viewer shows it, from the header alone.

    Raises:
        DataError: no such file, no image, or larger than `MOST_PIXELS`.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such image")
    try:
        with Image.open(path) as image:
            width, height = _stored_size(image)
            rotated = image.getexif().get(_ORIENTATION) in _ROTATED
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # Pillow's plugins raise whatever a hostile header makes them raise
        raise DataError(f"{path}: not an image", received=str(error)) from error
    if width * height > MOST_PIXELS:
        raise DataError(f"{path}: {width} × {height} pixels", rule=f"at most {MOST_PIXELS:,}")
    return (width, height) if rotated else (height, width)


def _stored_size(image: Image.Image) -> tuple[int, int]:
    # Pillow turns the size of a TIFF as it opens it, unlike that of any other format.
    tags = getattr(image, "tag_v2", None)
    return (int(tags[256]), int(tags[257])) if tags is not None else image.size


def decode(path: Path) -> np.ndarray:
    """uint8 RGB (height, width, 3) of a JPEG, PNG, BMP, WebP or TIFF file.

    Raises:
        DataError: no such file, no image, cut short, or too large.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such image")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: larger than {MOST_BYTES:,} bytes")
    raw = path.read_bytes()
    if _cut_short(raw):
        raise DataError(f"{path}: the image is cut short", fix="copy the file again")
    image_size(path)
    try:
        image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise DataError(f"{path}: the image cannot be decoded", received=str(error)) from error
    if image is None:
        raise DataError(f"{path}: the image cannot be decoded")
    return np.asarray(image, np.uint8)


def _cut_short(raw: bytes) -> bool:
    # OpenCV fills what is missing with grey and says nothing.
    if raw.startswith(b"\xff\xd8"):
        # The last scan starts before the end marker; a thumbnail's own end marker comes earlier.
        return raw.rfind(b"\xff\xd9") < raw.rfind(b"\xff\xda")
    return raw.startswith(b"\x89PNG") and b"IEND\xaeB`\x82" not in raw[-4096:]


def letterbox(image: np.ndarray, size: ImageSize, fill: int = 114) -> tuple[np.ndarray, Placement]:
    """The image scaled to fit, in the middle of a canvas; its proportions are kept.

    Args:
        image: uint8 (height, width, 3).
        size: (height, width) of the canvas.
        fill: grey value of the borders, 0 to 255.

    Returns:
        uint8 (*size, 3), and where the image lies on it.
    """
    height, width = image.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    rows, columns = max(round(height * ratio), 1), max(round(width * ratio), 1)
    image = resize(image, (rows, columns))
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    canvas = np.full((*size, 3), fill, np.uint8)
    canvas[top : top + rows, left : left + columns] = image
    return canvas, Placement((columns / width, rows / height), (float(left), float(top)))


def cover(image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
    """The image scaled to cover a canvas; its proportions are kept, what stands over is cut off.

    Args:
        image: uint8 (height, width, 3).
        size: (height, width) of the canvas.

    Returns:
        uint8 (*size, 3), the middle of the image, and where the whole image would lie.
    """
    height, width = image.shape[:2]
    ratio = max(size[0] / height, size[1] / width)
    rows, columns = max(round(height * ratio), size[0]), max(round(width * ratio), size[1])
    top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
    seen = resize(image, (rows, columns))[top : top + size[0], left : left + size[1]]
    placement = Placement((columns / width, rows / height), (float(-left), float(-top)))
    return np.ascontiguousarray(seen), placement


def resize(image: np.ndarray, size: ImageSize) -> np.ndarray:
    """uint8 image at (height, width): averaging when it shrinks, linear when it grows."""
    if image.shape[:2] == tuple(size):
        return image
    smaller = size[0] < image.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=how), np.uint8)


def resize_mask(mask: np.ndarray, size: ImageSize) -> np.ndarray:
    """uint8 mask (height, width) at another size; each pixel takes the class at its centre."""
    if mask.shape == tuple(size):
        return mask
    # Plain nearest of OpenCV takes the pixel's corner, which shifts a mask by half a pixel.
    how = cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(mask, (size[1], size[0]), interpolation=how), np.uint8)
