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

MAX_PIXELS = 2**28
"""Largest number of pixels of one decoded mask: run lengths of any mask fit into a few bytes."""


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
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    if isinstance(counts, str):
        runs = _numbers(counts)
    else:
        runs = counts.tolist() if isinstance(counts, np.ndarray) else list(counts)
        if any(type(run) is not int and not isinstance(run, np.integer) for run in runs):
            raise ValueError("run lengths are not all integers")
    if any(run < 0 for run in runs):
        raise ValueError("run lengths contain a negative number")
    total = sum(map(int, runs))
    if total != height * width:
        raise ValueError(f"run lengths do not fill {width} × {height} pixels; their sum is {total}")
    if total > MAX_PIXELS:
        raise ValueError(f"a mask has at most {MAX_PIXELS:,} pixels, got {width} × {height}")
    return np.array(runs, np.int64)


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64 or shift > 30:
            raise ValueError("run lengths contain an invalid character")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:  # the sign bit of the last group
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("run lengths end within a number")
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
