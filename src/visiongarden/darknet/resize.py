"""Resizing an image to a network's input: stretching, letterbox and center crop.

Darknet has two resizing modes. Its program (`darknet detector test`) uses a bilinear interpolation
that aligns the corner pixels (`resize_image` in image.c). Its Python scripts and its loader of
training images use OpenCV.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from visiongarden.errors import UserError
from visiongarden.registry import register
from visiongarden.transforms import Resizing
from visiongarden.transforms.resizing import PixelValue
from visiongarden.types import ImageSize, Placement

ResizeMode = Literal["scripts", "program"]

GRAY = 127.5
"""Gray value with which Darknet fills the borders of a letterbox."""


@register
class DarknetResize(Resizing):
    """How Darknet brings images to the size of a network, as its Python scripts do.

    An image of integers stays one, so that the borders of a letterbox are 128 instead of 127.5.

    Attributes:
        method: "stretch" by default, "letterbox" with `letter_box=1`, and "crop" for the center
            crop of classifiers.

    Example:
        >>> image = np.zeros((2, 4, 3), np.uint8)
        >>> vg.darknet.DarknetResize(method="letterbox").place(image, (4, 4))[0][:, 0, 0].tolist()
        [128, 0, 0, 128]
    """

    method: Literal["stretch", "letterbox", "crop"] = "stretch"
    fill: PixelValue | tuple[PixelValue, ...] | None = GRAY

    def ratios(self, size: ImageSize, canvas: ImageSize) -> tuple[float, float]:
        """Return the factors of the height and of the width of an image."""
        rows, columns = canvas[0] / size[0], canvas[1] / size[1]
        if self.method == "stretch":
            return rows, columns
        shorter = canvas[1] / min(size)
        ratio = min(rows, columns) if self.method == "letterbox" else shorter
        return ratio, ratio

    def place(self, image: np.ndarray, canvas: ImageSize) -> tuple[np.ndarray, Placement]:
        """Return an image on the canvas, with its type, and the placement of the whole image."""
        if self.method == "crop":
            # The results of classifiers contain no pixels.
            found, placement = centered(image, canvas), Placement((1.0, 1.0), (0.0, 0.0))
        else:
            found, placement = _METHODS[self.method](image, canvas)
        found = found if image.dtype.kind == "f" else np.rint(found)
        return found.astype(image.dtype), placement


def stretched(
    image: np.ndarray, size: ImageSize, mode: ResizeMode = "scripts"
) -> tuple[np.ndarray, Placement]:
    """Stretch an image to `size`, as Darknet does by default.

    Args:
        image: Array of shape (height, width, channels), uint8 or float from 0 to 255.
        size: (height, width) of the network's input in pixels.
        mode: Resizing mode, "scripts" or "program".

    Returns:
        A float32 array of shape (*size, channels) with values from 0 to 255, and the placement of
        the image in it.
    """
    height, width = image.shape[:2]
    scale = (size[1] / width, size[0] / height)
    return resize(image, size, mode), Placement(scale, (0.0, 0.0))


def letterboxed(
    image: np.ndarray, size: ImageSize, mode: ResizeMode = "scripts"
) -> tuple[np.ndarray, Placement]:
    """Letterbox an image, as Darknet does with `letter_box=1`.

    The image keeps its aspect ratio; the rest of the canvas is gray.

    Args:
        image: Array of shape (height, width, channels), uint8 or float from 0 to 255.
        size: (height, width) of the network's input in pixels.
        mode: Resizing mode, "scripts" or "program".

    Returns:
        A float32 array of shape (*size, channels) with values from 0 to 255, and the placement of
        the image in it.
    """
    height, width = image.shape[:2]
    rows, columns = size
    # In float32, as Darknet's C code compares the ratios.
    if np.float32(columns) / np.float32(width) < np.float32(rows) / np.float32(height):
        inner = (height * columns // width, columns)
    else:
        inner = (rows, width * rows // height)
    inner = (max(inner[0], 1), max(inner[1], 1))
    canvas = np.full((rows, columns, image.shape[2]), GRAY, np.float32)
    top, left = (rows - inner[0]) // 2, (columns - inner[1]) // 2
    canvas[top : top + inner[0], left : left + inner[1]] = resize(image, inner, mode)
    # Darknet pastes the image at a whole pixel, but maps boxes back by the exact half.
    offset = ((columns - inner[1]) / 2, (rows - inner[0]) / 2)
    return canvas, Placement((inner[1] / width, inner[0] / height), offset)


def centered(image: np.ndarray, size: ImageSize, mode: ResizeMode = "scripts") -> np.ndarray:
    """Resize an image so that its shorter side has the network's width, and crop the center.

    This is the preprocessing of Darknet's classifiers.

    Args:
        image: Array of shape (height, width, channels), uint8 or float from 0 to 255.
        size: (height, width) of the network's input in pixels.
        mode: Resizing mode, "scripts" or "program".

    Returns:
        A float32 array of shape (*size, channels) with values from 0 to 255.
    """
    height, width = image.shape[:2]
    shorter = size[1]
    if width < height:
        inner = (height * shorter // width, shorter)
    else:
        inner = (shorter, width * shorter // height)
    image = resize(image, inner, mode)
    # Where the crop is larger than the image, the border pixels are repeated, as in Darknet.
    rows = np.clip(np.arange(size[0]) + _half(inner[0] - size[0]), 0, inner[0] - 1)
    columns = np.clip(np.arange(size[1]) + _half(inner[1] - size[1]), 0, inner[1] - 1)
    return image[rows][:, columns]


def resize(image: np.ndarray, size: ImageSize, mode: ResizeMode = "scripts") -> np.ndarray:
    """Resize an image with bilinear interpolation.

    Args:
        image: Array of shape (height, width, channels), uint8 or float from 0 to 255.
        size: (height, width) of the result in pixels.
        mode: "scripts" uses OpenCV, which aligns pixel centers and rounds uint8 images to
            integers; "program" interpolates horizontally, then vertically, aligns the corner pixels
            and does not round.

    Returns:
        A float32 array of shape (*size, channels) with values from 0 to 255.

    Raises:
        UserError: If the image does not have three dimensions, or is empty.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise UserError(
            "the image is not valid",
            rule="shape (height, width, channels), uint8 or float from 0 to 255",
            received=f"shape {image.shape}",
        )
    same = image.shape[:2] == tuple(size)
    if mode == "scripts" and not same:
        found = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(found.reshape(*size, image.shape[2]), np.float32)
    image = image.astype(np.float32)
    return image if same else _resized(_resized(image, size[1], 1), size[0], 0)


def _resized(image: np.ndarray, length: int, axis: int) -> np.ndarray:
    # `resize_image` of Darknet's image.c along one axis: float32 throughout, and the last pixel is
    # copied.
    old_length = image.shape[axis]
    step = np.float32(old_length - 1) / np.float32(max(length - 1, 1))
    position = np.arange(length, dtype=np.float32) * step
    first = np.minimum(position.astype(np.int64), old_length - 1)
    share = (position - first).astype(np.float32)
    first[-1], share[-1] = old_length - 1, 0
    share = share[:, None, None] if axis == 0 else share[None, :, None]
    low = np.take(image, first, axis)
    high = np.take(image, np.minimum(first + 1, old_length - 1), axis)
    result: np.ndarray = (1 - share) * low + share * high
    return result


_METHODS = {"stretch": stretched, "letterbox": letterboxed}


def _half(difference: int) -> int:
    """Halve an integer, rounding toward 0 as in C."""
    return int(difference / 2)
