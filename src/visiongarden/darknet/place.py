"""An image -> what the network sees: stretched, on a grey canvas, or its middle.

Darknet has two manners: its program (`darknet detector test`) resizes by arithmetic of its own that
keeps the corners' pixels (image.c), its Python scripts and its loader of training images by OpenCV.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from visiongarden.errors import UserError
from visiongarden.types import ImageSize, Placement

Manner = Literal["scripts", "program"]

GREY = 0.5
"""What Darknet fills the borders of a letterbox with."""


def stretched(
    image: np.ndarray, size: ImageSize, manner: Manner = "scripts"
) -> tuple[np.ndarray, Placement]:
    """The image pulled to `size`, as Darknet does by default.

    Args:
        image: uint8 (height, width, channels), or float 0 to 1.
        size: (height, width) of the network's input.
        manner: of resizing.

    Returns:
        float32 (*size, channels), 0 to 1, and where the image lies on it.
    """
    height, width = image.shape[:2]
    scale = (size[1] / width, size[0] / height)
    return resize(image, size, manner), Placement(scale, (0.0, 0.0))


def letterboxed(
    image: np.ndarray, size: ImageSize, manner: Manner = "scripts"
) -> tuple[np.ndarray, Placement]:
    """The image at its own aspect on a grey canvas, as with `letter_box=1`.

    Args and result: as of `stretched`.
    """
    height, width = image.shape[:2]
    rows, columns = size
    if np.float32(columns) / np.float32(width) < np.float32(rows) / np.float32(height):
        inner = (height * columns // width, columns)
    else:
        inner = (rows, width * rows // height)
    inner = (max(inner[0], 1), max(inner[1], 1))
    canvas = np.full((rows, columns, image.shape[2]), GREY, np.float32)
    top, left = (rows - inner[0]) // 2, (columns - inner[1]) // 2
    canvas[top : top + inner[0], left : left + inner[1]] = resize(image, inner, manner)
    # Boxes go back by the exact half, though the pixels lie at a whole one: as in Darknet.
    offset = ((columns - inner[1]) / 2, (rows - inner[0]) / 2)
    return canvas, Placement((inner[1] / width, inner[0] / height), offset)


def centred(image: np.ndarray, size: ImageSize, manner: Manner = "scripts") -> np.ndarray:
    """The middle of the image, its shorter side as long as the network's width: for classifiers.

    Args and result: as of `stretched`, without the placement.
    """
    height, width = image.shape[:2]
    least = size[1]
    if width < height:
        inner = (height * least // width, least)
    else:
        inner = (least, width * least // height)
    image = resize(image, inner, manner)
    rows = np.clip(np.arange(size[0]) + _half(inner[0] - size[0]), 0, inner[0] - 1)
    columns = np.clip(np.arange(size[1]) + _half(inner[1] - size[1]), 0, inner[1] - 1)
    return image[rows][:, columns]


def resize(image: np.ndarray, size: ImageSize, manner: Manner = "scripts") -> np.ndarray:
    """Bilinear: float32 (*size, channels), 0 to 1.

    Args:
        image: uint8 (height, width, channels), or float 0 to 1.
        size: (height, width) of the result.
        manner: "scripts" takes the middles of the pixels as their places and rounds uint8 to whole
            numbers; "program" goes first across, then down, and keeps the corners' pixels.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise UserError(
            "the image is not sound",
            rule="(height, width, channels), uint8 RGB or float 0 to 1",
            received=f"shape {image.shape}",
        )
    same = image.shape[:2] == tuple(size)
    if manner == "scripts" and not same:
        found = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        return _floats(found.reshape(*size, image.shape[2]))
    image = _floats(image)
    return image if same else _resized(_resized(image, size[1], 1), size[0], 0)


def _resized(image: np.ndarray, length: int, axis: int) -> np.ndarray:
    given = image.shape[axis]
    step = np.float32(given - 1) / np.float32(max(length - 1, 1))
    place = np.arange(length, dtype=np.float32) * step
    first = np.minimum(place.astype(np.int64), given - 1)
    share = (place - first).astype(np.float32)
    first[-1], share[-1] = given - 1, 0
    share = share[:, None, None] if axis == 0 else share[None, :, None]
    low = np.take(image, first, axis)
    high = np.take(image, np.minimum(first + 1, given - 1), axis)
    result: np.ndarray = (1 - share) * low + share * high
    return result


def _floats(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    return image.astype(np.float32)


def _half(difference: int) -> int:
    """Half, rounded towards 0 as C does."""
    return int(difference / 2)
