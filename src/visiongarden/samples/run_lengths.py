"""Encode and decode COCO's run-length encoding (RLE) of masks.

The runs go down the columns and alternate between background and object, starting with background.
In the compressed text, each character minus 48 holds five bits of a number, lowest first, and a
sixth bit if more follow. From the fourth number on, the difference to the number two places before
is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from visiongarden.types import ImageSize

MAX_PIXELS = 2**30
"""Largest number of pixels of a mask, as in OpenCV: a few bytes of run lengths fill a mask."""

_MAX_GROUPS = 7  # 35 bits
_PIXELS_TOGETHER = 2**20  # bounds the memory of encoding


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
    return encode_all([(0, 0, mask)], (mask.shape[0], mask.shape[1]))[0]


def encode_all(parts: Iterable[tuple[int, int, np.ndarray]], size: ImageSize) -> list[np.ndarray]:
    """Return the run lengths, int64 (runs,), of each mask of an image.

    Only the rectangle around each object is examined, and all masks together: of small objects,
    most of the time is that of calling NumPy.

    Args:
        parts: first row, first column and pixels, bool (height, width), of the rectangle of each
            mask outside which there is background.
        size: (height, width) of the masks.
    """
    found: list[np.ndarray] = []
    group: list[tuple[int, int, np.ndarray]] = []
    taken = 0
    for part in parts:
        if group and taken + part[2].size > _PIXELS_TOGETHER:
            found += _encoded(group, size)
            group, taken = [], 0
        group.append(part)
        taken += part[2].size
    return found + _encoded(group, size)


def _encoded(parts: Sequence[tuple[int, int, np.ndarray]], size: ImageSize) -> list[np.ndarray]:
    shapes = np.array([pixels.shape for _, _, pixels in parts], np.int64).reshape(-1, 2)
    corners = np.array([part[:2] for part in parts], np.int64).reshape(-1, 2)
    heights = shapes[:, 0] + 1
    ends = np.cumsum(heights * shapes[:, 1])
    starts = ends - heights * shapes[:, 1]
    # Columns of pixels, each after one of background, so that no run is in two columns.
    line = np.zeros(int(ends[-1]) + 1 if len(ends) else 1, bool)
    for (_, _, pixels), start, end in zip(parts, starts.tolist(), ends.tolist(), strict=True):
        line[start:end].reshape(pixels.shape[1], pixels.shape[0] + 1)[:, 1:] = pixels.T
    places = np.flatnonzero(line[1:] != line[:-1])
    owner = np.repeat(np.arange(len(parts)), np.diff(np.searchsorted(places, ends), prepend=0))
    columns, rows = np.divmod(places - starts[owner], heights[owner])
    area = size[0] * size[1]
    borders = (columns + corners[owner, 1]) * size[0] + rows + corners[owner, 0]
    return _runs_between(borders, owner, len(parts), area)


def _runs_between(
    borders: np.ndarray, owner: np.ndarray, count: int, area: int
) -> list[np.ndarray]:
    """Return the runs of `count` masks between borders, ascending in each mask from 0 to `area`."""
    # A run that continues at the top of the next column ends where the next one starts.
    same = (borders[1:] == borders[:-1]) & (owner[1:] == owner[:-1])
    kept = ~(np.append(same, False) | np.append(False, same))[: len(borders)] & (borders < area)
    borders, owner = borders[kept], owner[kept]
    # The masks behind each other, with a border at the end of each.
    stops = np.cumsum(np.bincount(owner, minlength=count) + 1)
    line = np.empty(len(borders) + count, np.int64)
    line[np.arange(len(borders)) + owner] = borders + owner * area
    line[stops - 1] = np.arange(1, count + 1) * area
    runs = np.diff(line, prepend=0)
    return [runs[a:b] for a, b in pairwise([0, *stops.tolist()])]


def text_of(runs: np.ndarray) -> str:
    """Return COCO's compressed text of run lengths."""
    return texts_of([runs])[0]


def texts_of(masks: Sequence[np.ndarray]) -> list[str]:
    """Return COCO's compressed text of the run lengths of each mask."""
    counts = [len(runs) for runs in masks]
    numbers = np.concatenate([np.zeros(0, np.int64), *masks])
    ends = np.cumsum(counts, dtype=np.int64)
    place = np.arange(len(numbers)) - np.repeat(ends - counts, counts)
    late = np.flatnonzero(place > 2)
    values = numbers.copy()
    values[late] -= numbers[late - 2]
    lengths = np.ones(len(values), np.int64)
    for groups in range(1, _MAX_GROUPS):  # as many groups of five bits as hold the sign, too
        limit = 1 << (5 * groups - 1)
        lengths += (values >= limit) | (values < -limit)
    stops = np.cumsum(lengths)
    number = np.repeat(np.arange(len(values)), lengths)
    group = np.arange(len(number)) - (stops - lengths)[number]
    more = group < lengths[number] - 1
    letters = (values[number] >> (5 * group)) & 31
    text = (letters + np.where(more, 80, 48)).astype(np.uint8).tobytes().decode("ascii")
    borders = [0, *np.append(0, stops)[ends].tolist()]
    return [text[a:b] for a, b in pairwise(borders)]
