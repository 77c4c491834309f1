"""Encode and decode COCO's run-length encoding (RLE) of masks.

The runs go down the columns and alternate between background and object, starting with background.
In the compressed text, each character minus 48 holds five bits of a number, lowest first, and a
sixth bit if more follow. From the fourth number on, the difference to the number two places before
is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visiongarden.types import ImageSize

MAX_PIXELS = 2**30
"""Largest number of pixels of a mask, as in OpenCV: a few bytes of run lengths fill a mask."""

_MAX_GROUPS = 7  # 35 bits


def runs_of(counts: str | bytes | Sequence[int] | np.ndarray, size: ImageSize) -> np.ndarray:
    """Return the run lengths of a mask, checked without decoding it.

    Args:
        counts: run lengths, or COCO's compressed text of them.
        size: (height, width) of the mask in pixels.

    Returns:
        int64 (runs,).

    Raises:
        ValueError: the text or a number is not valid, the runs do not fill the mask exactly, or the
            mask has more than `MAX_PIXELS` pixels.
    """
    height, width = size
    pixels = height * width
    if pixels > MAX_PIXELS:
        raise ValueError(f"a mask has at most {MAX_PIXELS:,} pixels, got {width} × {height}")
    if isinstance(counts, str | bytes):
        runs = numbers_of(counts)
    else:
        runs = _integers(counts, pixels)
    if len(runs) and runs.min() < 0:
        raise ValueError("run lengths contain a negative number")
    # With no run above the limit, the sum cannot overflow.
    if (runs > pixels).any() or runs.sum() != pixels:
        raise ValueError(f"run lengths do not fill {width} × {height} pixels exactly")
    return runs


def _integers(counts: Sequence[int] | np.ndarray, limit: int) -> np.ndarray:
    runs = counts.tolist() if isinstance(counts, np.ndarray) else list(counts)
    if any(type(run) is not int and not isinstance(run, np.integer) for run in runs):
        raise ValueError("run lengths are not all integers")
    return np.array([min(max(int(run), -1), limit + 1) for run in runs], np.int64)


def numbers_of(text: str | bytes) -> np.ndarray:
    """Return the numbers, int64 (runs,), of compressed text, whatever mask they fill.

    Raises:
        ValueError: the text is not valid.
    """
    raw = text if isinstance(text, bytes) else text.encode("ascii", "replace")
    groups = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if ((groups < 0) | (groups > 63)).any() or (isinstance(text, str) and not text.isascii()):
        raise ValueError("run lengths contain an invalid character")
    if not len(groups):
        return groups
    ends = np.flatnonzero(groups < 32)
    if not len(ends) or ends[-1] != len(groups) - 1:
        raise ValueError("run lengths end within a number")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_GROUPS:
        raise ValueError("run lengths contain a number that is too large")
    places = 5 * (np.arange(len(groups)) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((groups & 31) << places, starts)
    numbers -= (groups[ends] & 16 > 0).astype(np.int64) << (5 * lengths)  # the sign
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers


def decode(runs: np.ndarray, size: ImageSize) -> np.ndarray:
    """Return the mask, bool (height, width), of run lengths that `runs_of` has checked."""
    values = np.arange(len(runs)) % 2 == 1
    return np.asarray(np.repeat(values, runs).reshape(size[1], size[0]).T)


def encode(mask: np.ndarray) -> np.ndarray:
    """Return the run lengths, int64 (runs,), of a mask, bool (height, width)."""
    values = np.asarray(mask, bool).T.ravel()
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    start = [0, 0] if len(values) and values[0] else [0]
    return np.diff(np.concatenate([start, changes, [len(values)]])).astype(np.int64)


def text_of(runs: np.ndarray) -> str:
    """Return COCO's compressed text of run lengths."""
    letters = []
    numbers = runs.tolist()
    for i, number in enumerate(numbers):
        value = number - numbers[i - 2] if i > 2 else number
        more = True
        while more:
            group = value & 31
            value >>= 5  # keeps the sign
            more = value != (-1 if group & 16 else 0)
            letters.append(chr(48 + group + (32 if more else 0)))
    return "".join(letters)
