"""Decode the run lengths of Label Studio's brush.

The bytes are the `rle-pack` encoding of an RGBA image, row by row, whose alpha channel is the mask:
32 bits, the number of values; 5 bits, the bits of a value less 1; four times 4 bits, the bits of a
length less 1. Then groups follow: 1 bit, whether one value is repeated; 2 bits, which of the four
sizes the length has; the length less 1; and the value, or as many values as the length.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.data.readers.geometry import MAX_MASK
from visiongarden.types import ImageSize

_CHANNELS = 4


def brush_mask(rle: Any, size: ImageSize) -> np.ndarray:
    """Return the mask of run lengths, bool (height, width).

    Args:
        rle: List of bytes as numbers.
        size: (height, width) of the image.

    Raises:
        ValueError: The run lengths are malformed, or do not fill the image exactly.
    """
    if not isinstance(rle, list) or any(type(v) is not int or not 0 <= v < 256 for v in rle):
        raise ValueError("the run lengths are not a list of bytes")
    height, width = size
    if height * width > MAX_MASK:
        raise ValueError(f"a brush has at most {MAX_MASK:,} pixels, got {width} × {height}")
    bits = _Bits(rle)
    if bits.number(32) != height * width * _CHANNELS:
        raise ValueError(f"the run lengths do not fill {width} × {height} pixels exactly")
    word = bits.number(5) + 1
    sizes = [bits.number(4) + 1 for _ in range(4)]
    # One value of four is the alpha channel; the others are not stored, whatever the image's size.
    mask = np.zeros(height * width, bool)
    start, total = 0, height * width * _CHANNELS
    while start < total:
        repeated = bits.number(1)
        stop = start + bits.number(sizes[bits.number(2)]) + 1
        if stop > total:
            raise ValueError("the run lengths exceed the image")
        # The first value from `start` on that is one of alpha.
        skipped = (_CHANNELS - 1 - start) % _CHANNELS
        first, last = (start + skipped) // _CHANNELS, stop // _CHANNELS
        if repeated:
            mask[first:last] = bits.number(word) > 0
        else:
            mask[first:last] = bits.positive(stop - start, word)[skipped::_CHANNELS]
        start = stop
    return mask.reshape(height, width)


class _Bits:
    """Reader of numbers from a stream of bits."""

    def __init__(self, rle: list[int]) -> None:
        self.bits = np.unpackbits(np.array(rle, np.uint8))
        self.place = 0

    def _next(self, count: int) -> np.ndarray:
        found = self.bits[self.place : self.place + count]
        if len(found) < count:
            raise ValueError("the run lengths are truncated")
        self.place += count
        return found

    def number(self, count: int) -> int:
        """Return the next number of `count` bits."""
        value = 0
        for bit in self._next(count).tolist():
            value = value << 1 | bit
        return value

    def positive(self, count: int, width: int) -> np.ndarray:
        """Return which of the next `count` numbers of `width` bits are not 0."""
        return np.asarray(self._next(count * width).reshape(count, width).any(axis=1))
