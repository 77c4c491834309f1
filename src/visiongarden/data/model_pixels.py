"""`pixels_for`: convert images to the pixel values that a model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visiongarden.data.channels import Channels, check_layout, to_gray
from visiongarden.data.layout import RGB, Layout
from visiongarden.data.pixels import ValueRange, as_array, from_pillow, rescaled, rounded, to_pixels
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import UserError

_MIN_GRAY_SIDE = 5


def pixels_for(
    image: Any,
    preprocessing: Preprocessing,
    value_range: ValueRange | None = None,
    name: str = "the image",
) -> np.ndarray:
    """Convert an image to the pixel values that a model takes, (height, width, channels).

    For a model of 8-bit RGB this is `to_pixels`. For others, files are read with their channels as
    stored; RGB becomes gray for a model of one channel.

    Args:
        image: A path, a Pillow image or an array, see `to_pixels`. Floats are pixel values as
            stored; they are rounded if the model takes integers.
        preprocessing: Preprocessing of the model.
        value_range: Range of an array with other values, such as (0, 1); it is mapped to the range
            of the model's type.
        name: Name of the image in messages.

    Raises:
        UserError: The image does not have the number of channels or the type that the model takes,
            or a value is outside its range.
        DataError: The file cannot be decoded.

    Example:
        >>> gray = np.full((8, 6), 40001, np.uint16)
        >>> preprocessing = vg.Preprocessing(channels=1, dtype="uint16")
        >>> vg.data.model_pixels.pixels_for(gray, preprocessing).shape
        (8, 6, 1)
    """
    if preprocessing.layout == RGB:
        return to_pixels(image, value_range, name)
    if isinstance(image, str | Path):
        mode = "gray" if preprocessing.channels == 1 else "stored"
        array, name = Channels(mode).decode(Path(image)), str(image)
    elif isinstance(image, Image.Image):
        array = _from_pillow(image, preprocessing, name)
    else:
        array = _typed(as_array(image, name), preprocessing, value_range, name)
        # As in `to_pixels`: smaller tables are more likely boxes or colors.
        if array.ndim == 2 and min(array.shape) >= _MIN_GRAY_SIDE:
            array = array[..., None]
        if array.ndim != 3 or 0 in array.shape:
            raise UserError(
                f"{name} is an array of shape {array.shape}",
                rule=f"(height, width, {preprocessing.channels})",
            )
        if preprocessing.channels == 1 and array.shape[2] in (3, 4):
            array = to_gray(array)
    check_layout(Layout(array.shape[2], str(array.dtype)), preprocessing, name)
    return array


def check_pixels(images: np.ndarray, preprocessing: Preprocessing, fix: str) -> None:
    """Check that a batch has the number of channels and the type that a model takes.

    Args:
        images: (batch, height, width, channels).
        preprocessing: Preprocessing of the model.
        fix: Fix for an array of another type.

    Raises:
        UserError: It does not.
    """
    shape = images.shape
    if len(shape) == 4 and Layout(shape[3], str(images.dtype)) == preprocessing.layout:
        return
    fits = len(shape) == 4 and shape[3] == preprocessing.channels
    raise UserError(
        f"the images are of type {images.dtype} and shape {shape}",
        rule=f"{preprocessing.dtype} (batch, height, width, {preprocessing.channels}), pixel "
        "values as stored",
        fix=fix if fits else f"images[..., :{preprocessing.channels}], or other images",
    )


def _typed(
    array: np.ndarray, preprocessing: Preprocessing, value_range: ValueRange | None, name: str
) -> np.ndarray:
    if preprocessing.dtype == "float32":
        if value_range is not None:
            raise UserError(
                f"value_range={value_range} has no effect on a model that takes floats",
                rule=f"the values that the model was trained with: {preprocessing}",
                fix="leave out value_range, and scale the values to those of the training images",
            )
        return array.astype(np.float32) if array.dtype.kind == "f" else array
    if value_range is not None:
        return rescaled(array, value_range, name, preprocessing.dtype)
    return rounded(array, name, preprocessing.dtype) if array.dtype.kind == "f" else array


def _from_pillow(image: Image.Image, preprocessing: Preprocessing, name: str) -> np.ndarray:
    """Return 8-bit gray, RGB or RGBA, or 16-bit or float gray."""
    array = from_pillow(image, name, "RGBA" if preprocessing.channels == 4 else "RGB")
    if array.ndim == 2:
        return array[..., None]
    return to_gray(array) if preprocessing.channels == 1 else array
