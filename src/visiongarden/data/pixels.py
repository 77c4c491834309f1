"""`to_pixels`: convert arrays and Pillow images to the pixels that image files decode to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from PIL import Image, ImageOps

from visiongarden.data.decoding import decode, decode_bytes
from visiongarden.errors import DataError, UserError
from visiongarden.storage.npy import MAX_CHANNELS

ValueRange = tuple[float, float]
"""(lowest, highest) value that the pixels of an array can have, i.e. black and white."""

_RULE = (
    "a path, a Pillow image, or an array (height, width) or (height, width, channels) of 1, 3 or 4 "
    "channels: RGB, pixel values as stored"
)
_MIN_GRAY_SIDE = 5


def to_pixels(
    image: Any, value_range: ValueRange | None = None, name: str = "the image"
) -> np.ndarray:
    """Convert an image to uint8 RGB of shape (height, width, 3).

    Gray becomes RGB and alpha is dropped, as for image files; a fourth channel of an array counts
    as alpha. `Channels` reads files of other numbers of channels. uint16 is reduced to the same 8
    bits as a 16-bit file. The EXIF orientation of a Pillow image is applied.

    Args:
        image: A path, a Pillow image, or an array of type uint8, uint16, or float with values from
            0 to 255. A tensor in CPU memory counts as an array.
        value_range: Range of an array with other values, such as (0, 1). Files and Pillow images do
            not need it.
        name: Name of the image in messages.

    Raises:
        UserError: The argument is not an image, its shape or type is not supported, a value is
            outside its range, or the maximum of a float array is at most 1 and `value_range` is
            None.
        DataError: The file cannot be decoded.

    Example:
        >>> gray = np.full((8, 6), 0.2)
        >>> to_pixels(gray, value_range=(0, 1))[0, 0].tolist()
        [51, 51, 51]
    """
    if isinstance(image, str | Path):
        return decode(Path(image))
    if isinstance(image, Image.Image):
        image = from_pillow(image, name)
        value_range = value_range if image.dtype.kind == "f" else None
    array = _shaped(as_array(image, name), name)
    if value_range is not None:
        array = rescaled(array, value_range, name)
    elif array.dtype.kind == "f":
        array = rounded(array, name)
    if array.dtype == np.uint16:
        array = _eight_bits(array)
    if array.dtype != np.uint8:
        raise UserError(
            f"{name} is an array of {array.dtype}",
            rule="uint8, uint16, or float from 0 to 255",
            fix="image.astype(np.uint8), or value_range=(lowest, highest)",
        )
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


@runtime_checkable
class ArrayLike(Protocol):
    """What NumPy can convert: an array, a tensor of any library, or an image of Pillow."""

    def __array__(self, dtype: Any = None) -> np.ndarray: ...


def as_array(image: Any, name: str) -> np.ndarray:
    """Return an image as an array.

    Raises:
        UserError: It is of another type, or cannot be converted.
    """
    if isinstance(image, np.ndarray):
        return image
    if not isinstance(image, ArrayLike):
        raise UserError(f"{name} is of type {type(image).__name__}", rule=_RULE)
    try:
        return np.asarray(image)
    except Exception as error:  # the exception type differs by backend
        raise UserError(
            f"{name} cannot be converted to an array",
            rule=_RULE,
            received=f"{error}".split("\n")[0][:200],
            fix="image.detach().cpu().numpy()",
        ) from error


def _shaped(array: np.ndarray, name: str) -> np.ndarray:
    """Return the array as (height, width, 1 or 3), without alpha."""
    shape = array.shape
    # A 2-D array with a side below 5 is more likely a table of boxes or colors than a gray image.
    if array.ndim == 2 and min(shape) >= _MIN_GRAY_SIDE:
        return array[..., None]
    if array.ndim == 3 and 0 not in shape and shape[2] in (1, 3, 4):
        return array[..., :3]
    fix = None
    if array.ndim == 3 and shape[0] in (1, 3, 4):
        fix = "channels last: np.moveaxis(image, 0, -1)"
    elif array.ndim == 3 and shape[2] == 2:
        fix = "choose the channel that is gray: image[..., 0]"
    elif array.ndim == 3 and 3 < shape[2] <= MAX_CHANNELS:
        fix = (
            "choose the channels that are red, green and blue: image[..., [2, 1, 0]]; "
            "visiongarden.drawing.to_display(image) shows three of any type"
        )
    elif array.ndim == 4:
        fix = "one image at a time: image[0]"
    raise UserError(
        f"{name} is an array of shape {shape}", rule=_RULE, received=f"shape {shape}", fix=fix
    )


def _checked(array: np.ndarray, low: float, high: float, name: str, fix: str) -> None:
    lowest, highest = float(array.min()), float(array.max())
    # Written as `not (… and …)` because every comparison with NaN is False.
    if not (lowest >= low and highest <= high):
        raise UserError(
            f"{name} has values from {lowest:g} to {highest:g}",
            rule=f"values from {low:g} to {high:g}",
            fix=fix,
        )


def rounded(array: np.ndarray, name: str, dtype: str = "uint8") -> np.ndarray:
    """Return integers of a type from floats that hold pixel values as stored.

    Raises:
        UserError: The maximum is at most 1, or a value is outside the range of the type.
    """
    highest = np.iinfo(dtype).max
    if float(array.max()) <= 1:
        raise UserError(
            f"{name} is a float array with a maximum value of {float(array.max()):g}",
            rule=f"pixel values as stored, 0 to {highest}; 0 to 1 only with value_range",
            fix="value_range=(0, 1)",
        )
    _checked(array, 0, highest, name, "value_range=(lowest, highest) of the values")
    return np.rint(array).astype(dtype)


def rescaled(
    array: np.ndarray, value_range: ValueRange, name: str, dtype: str = "uint8"
) -> np.ndarray:
    """Return integers of a type, over all of its range, from values of a known range.

    Raises:
        UserError: The range is not valid, or a value is outside of it.
    """
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise UserError(
            f"value_range is {value_range!r}", rule="(lowest, highest)", fix="value_range=(0, 1)"
        )
    if array.dtype.kind not in "fuib":
        raise UserError(f"{name} is an array of {array.dtype}", rule="numbers")
    _checked(array, low, high, name, "value_range=(lowest, highest) that the pixels can have")
    shares = (array.astype(np.float64) - low) / (high - low)
    return np.rint(np.iinfo(dtype).max * shares).astype(dtype)


def _eight_bits(array: np.ndarray) -> np.ndarray:
    # Encoded to a PNG and decoded again, so that 16-bit arrays and files give the same pixels.
    done, raw = cv2.imencode(".png", array[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 0])
    return decode_bytes(raw.tobytes(), "the array") if done else array


def from_pillow(image: Image.Image, name: str, mode: str = "RGB") -> np.ndarray:
    """Return an array of a Pillow image, with its EXIF orientation applied.

    Args:
        image: The image.
        name: Name of the image in messages.
        mode: "RGB" or "RGBA". Images of 16 or 32 bits are returned as (height, width), uint16 or
            float32.

    Raises:
        UserError: The image has more than 16 bits.
        DataError: The file cannot be decoded.
    """
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":
            return _wide(np.asarray(image), name)
        return np.asarray(image.convert(mode))
    except UserError:
        raise
    except Exception as error:  # files are read lazily, and Pillow's plugins raise any type
        raise DataError(f"{name} cannot be decoded", received=str(error)[:200]) from error


def _wide(array: np.ndarray, name: str) -> np.ndarray:
    """Return Pillow's 16-bit and 32-bit integers as uint16; floats are returned unchanged."""
    if array.dtype.kind == "f":
        return array
    _checked(array, 0, 65535, name, "convert the image to at most 16 bits per channel")
    return array.astype(np.uint16)
