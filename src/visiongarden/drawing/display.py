"""`to_display`: three bands of any image as 8-bit RGB, to look at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError, nearest, option

_SHOWN = (0.5, 99.5)
"""Percentiles that become black and white."""

_SAMPLED = 1_000_000
"""Number of values of a band from which the percentiles are computed."""


def to_display(
    image: np.ndarray,
    bands: int | str | Sequence[int | str] | None = None,
    value_range: tuple[float, float] | None = None,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Return an image as uint8 RGB, to look at it; models take the values as stored.

    Args:
        image: array (height, width) or (height, width, channels) of any type of numbers.
        bands: indices or names of the channels that become red, green and blue, or one that becomes
            gray. By default: one channel is gray, the first of two is magenta and the second green,
            and of more the first three are red, green and blue, whatever they measure.
        value_range: (lowest, highest), the values that become black and white. By default, uint8 is
            shown as it is, and the 0.5th and 99.5th percentile of each other band are black and
            white. Values outside are black or white; NaN is black.
        names: name of each channel, for `bands`.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        UserError: the array is not an image, a band does not exist, or the range is empty.

    Example:
        >>> image = np.zeros((8, 6, 4), np.uint16)
        >>> image[..., 1] = 4095
        >>> vg.drawing.to_display(image, bands=(3, 1, 0), value_range=(0, 4095))[0, 0].tolist()
        [0, 255, 0]
        >>> vg.drawing.to_display(image, bands=1, value_range=(0, 8190))[0, 0].tolist()
        [128, 128, 128]
    """
    array = np.asarray(image)
    if array.dtype == np.uint8 and array.shape[2:] == (3,) and bands is None and not value_range:
        return array
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "buif":
        raise UserError(
            f"the image is an array of {array.dtype} of shape {np.shape(image)}",
            rule="numbers (height, width) or (height, width, channels)",
        )
    chosen = _chosen(bands, array.shape[2], names)
    # Each band is scaled once, also where one of them is used twice.
    scaled = {band: _scaled(array[..., band], value_range) for band in dict.fromkeys(chosen)}
    return np.stack([scaled[band] for band in chosen], axis=-1)


def canvas(image: np.ndarray) -> np.ndarray:
    """Return a copy of an image to draw on, uint8 RGB (height, width, 3), see `to_display`."""
    return np.array(to_display(image), np.uint8, order="C")


def _chosen(bands: Any, channels: int, names: Sequence[str]) -> tuple[int, int, int]:
    """Return the indices of the red, the green and the blue channel."""
    if bands is None:
        return (0, 1, 2) if channels > 2 else (0, channels - 1, 0)
    given = (bands,) if isinstance(bands, (int, str, np.integer)) else tuple(bands)
    found = [_index(band, channels, names) for band in given]
    if len(found) not in (1, 3):
        raise UserError(
            f"bands is {bands!r}", rule="three channels, or one", fix="bands=(2, 1, 0) or bands=0"
        )
    red, green, blue = found * 3 if len(found) == 1 else found
    return red, green, blue


def _index(band: Any, channels: int, names: Sequence[str]) -> int:
    if isinstance(band, str):
        if band not in names[:channels]:
            raise UserError(
                f"there is no band {band!r}",
                rule="an index, or one of `names`",
                fix=nearest(band, names[:channels]) or f"an index from 0 to {channels - 1}",
            )
        return list(names).index(band)
    is_index = isinstance(band, (int, np.integer)) and not isinstance(band, bool)
    if not is_index or not 0 <= band < channels:
        raise UserError(
            f"there is no band {band!r} in an image of {channels} channel"
            f"{'s' if channels > 1 else ''}",
            rule=f"an index from 0 to {channels - 1}",
            fix=option("bands", 0),
        )
    return int(band)


def _scaled(band: np.ndarray, value_range: Any) -> np.ndarray:
    if band.dtype == bool:
        return band.astype(np.uint8) * 255
    if value_range is None and band.dtype == np.uint8:
        return band
    low, high = _range(band) if value_range is None else _checked(value_range)
    # float32 is exact enough for 8 bits, after the difference is taken in double precision.
    shares = ((band.astype(np.float64) - low) / (high - low)).astype(np.float32)
    shares = np.nan_to_num(shares, nan=0, posinf=1, neginf=0)
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)


def _range(band: np.ndarray) -> tuple[float, float]:
    """Return the values of a band that become black and white."""
    step = max(band.size // _SAMPLED, 1)
    values = band.ravel()[::step].astype(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, _SHOWN)
    if low == high:  # few pixels differ from the background
        low, high = values.min(), values.max()
    # A constant band is black.
    return float(low), float(high) if high > low else float(low) + 1.0


def _checked(value_range: Any) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise UserError(
            f"value_range is {value_range!r}",
            rule="(lowest, highest)",
            fix="value_range=(0, 4095)",
        )
    return low, high
