"""Trace the objects of mask files: one object per file, or one id per object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from visiongarden.data.semantic_samples import read_pixels
from visiongarden.errors import DataError
from visiongarden.samples.mask_shapes import Window
from visiongarden.storage.header import MAX_BYTES, header_of_bytes
from visiongarden.storage.place import read_bytes
from visiongarden.types import ImageSize

_EDGES, _EDGES_PER_BYTE = 2**18, 128
"""A mask may have more than `_EDGES` edges between pixels of different objects if there are at most
`_EDGES_PER_BYTE` of them for each byte of its file: polygons take memory for each edge, and a
pattern of single pixels is compressed to a thousandth."""
_SCATTERED = 16
"""The rectangles around the objects may have this many times the pixels of their image."""
_CHUNK = 2**22


def object_of(path: Any, size: ImageSize) -> Window | None:
    """Return the object of a file whose pixels are 0 outside of it; None if it has no pixel.

    Args:
        path: Gray, palette or RGB image.
        size: (height, width) that the file must have.

    Raises:
        DataError: The file cannot be decoded, its size differs, or it has too many edges.
    """
    values = _values(path, size)
    inside = np.asarray(values.any(axis=2) if values.ndim == 3 else values != 0)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    pixels = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Window(int(rows[0]), int(columns[0]), pixels.copy())


def objects_of(path: Any, size: ImageSize) -> Iterator[tuple[int, Window]]:
    """Return the id and the pixels of each object of a file of ids; 0 is the background.

    Args:
        path: Gray or palette image.
        size: (height, width) that the file must have.

    Raises:
        DataError: The file cannot be decoded, has colors, its size differs, it has too many edges,
            or its objects are scattered over the image.
    """
    values = _values(path, size)
    if values.ndim == 3:
        raise DataError(
            f"{path}: the mask stores RGB colors",
            rule="one number per pixel, the id of its object; 8 or 16 bits",
            fix="export the ids as gray values",
        )
    numbers, boxes = _boxes(values)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    if areas.sum() > _SCATTERED * values.size:
        raise DataError(
            f"{path}: the pixels of equal ids are scattered over the image",
            rule="one id for each object",
            received=f"{len(numbers)} ids",
        )
    return (
        (number, Window(top, left, values[top:bottom, left:right] == number))
        for number, (top, left, bottom, right) in zip(numbers.tolist(), boxes.tolist(), strict=True)
    )


def _values(path: Any, size: ImageSize) -> np.ndarray:
    """Decode a mask file, whose size and number of edges are checked."""
    raw = read_bytes(path, MAX_BYTES)
    header = header_of_bytes(raw, path)
    # Checked before decoding, so that a small file cannot claim more pixels than its image.
    if (header.height, header.width) != size:
        raise DataError(
            f"{path}: the mask has {header.width} × {header.height} pixels, the image has "
            f"{size[1]} × {size[0]}",
            rule="a mask of the same size as its image",
        )
    values = read_pixels(path, raw)
    edges, limit = _edges(values), max(_EDGES, _EDGES_PER_BYTE * len(raw))
    if edges > limit:
        raise DataError(
            f"{path}: the mask has {edges:,} edges between pixels",
            rule=f"at most {limit:,} for a file of {len(raw):,} bytes",
        )
    return values


def _edges(values: np.ndarray) -> int:
    """Return the number of neighbors with different values."""
    pixels, step = values.reshape(*values.shape[:2], -1), max(_CHUNK // values.shape[1], 1)
    count = 0
    for start in range(0, len(pixels), step):
        part = pixels[start : start + step + 1]  # with the first row of the next part
        own = part[:step]
        count += int((own[:, 1:] != own[:, :-1]).any(axis=2).sum())
        count += int((part[1:] != part[:-1]).any(axis=2).sum())
    return count


def _boxes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids except 0, and the rectangle (top, left, bottom, right) of each."""
    count = int(values.max(initial=0)) + 1
    low = np.full((count, 2), np.iinfo(np.int64).max)
    high = np.full((count, 2), -1)
    step = max(_CHUNK // values.shape[1], 1)
    for start in range(0, len(values), step):
        part = values[start : start + step]
        places = np.stack(np.nonzero(part), axis=1)
        ids = part[places[:, 0], places[:, 1]]
        places[:, 0] += start
        np.minimum.at(low, ids, places)
        np.maximum.at(high, ids, places)
    numbers = np.flatnonzero(high[:, 0] >= 0)
    return numbers, np.concatenate([low[numbers], high[numbers] + 1], axis=1)
