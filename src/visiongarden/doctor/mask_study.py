"""Decode one segmentation mask and count its classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from visiongarden.data.masks import SegmentationDataset, is_lossy
from visiongarden.errors import DataError
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import read_bytes
from visiongarden.types import IGNORE, ImageSize

_SMOOTH = 8
"""Number of unknown values above which they come from interpolation, not from missing classes."""


@dataclass(frozen=True)
class Study:
    """Contents of one mask.

    Attributes:
        path: source of the mask.
        kind: kind of the finding if the mask cannot be used, else "".
        error: why the mask cannot be used; "" if it can.
        counts: int64 (classes,), pixels of each class.
        ignored: number of ignored pixels.
        values: stored values of pixels that are not ignored, ascending, at most 1,000.
        skipped: stored values of ignored pixels, ascending, at most 1,000.
    """

    path: str
    kind: str = ""
    error: str = ""
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored: int = 0
    values: tuple[int, ...] = ()
    skipped: tuple[int, ...] = ()


def study(dataset: SegmentationDataset, index: int, size: ImageSize | None) -> Study:
    """Decode one mask and count its classes.

    Args:
        dataset: dataset of the mask.
        index: position in the dataset.
        size: (height, width) of the image, or None if the image cannot be decoded.
    """
    path = str(dataset.masks[index])
    try:
        lossy = is_lossy(read_bytes(dataset.masks[index], MAX_BYTES))
        values = dataset.values(index) if not lossy else np.zeros((0, 0))
    except DataError as error:
        received = f" ({error.received})" if error.received else ""
        return Study(path, "mask", error.what.removeprefix(f"{path}: ") + received)
    if lossy:
        return Study(path, "lossy", "a JPEG or lossy WebP file, which changes the class values")
    if size is not None and values.shape != size:
        what = dataset.other_size(index, size, values.shape).removeprefix(f"{path}: ")
        return Study(path, "size", what)
    present, times = _counted(values)
    classes, unknown = dataset.classes_of(present)
    skipped = (classes == IGNORE) & ~unknown
    known = ~unknown & ~skipped
    counts = np.bincount(classes[known], times[known], len(dataset.class_map)).astype(np.int64)
    kind = reason = ""
    if unknown.any():
        kind, reason = "id", _unknown(dataset, present[unknown], times[unknown])
    return Study(
        path,
        kind,
        reason,
        counts,
        int(times[skipped].sum()),
        tuple(present[~skipped].tolist()[:1000]),
        tuple(present[skipped].tolist()[:1000]),
    )


def _counted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of a mask in ascending order, and how often each occurs."""
    # `bincount` is linear, `unique` sorts all pixels; colors packed into 24 bits need the latter.
    if values.size and values.max() <= 0xFFFF:
        times = np.bincount(values.ravel())
        present = np.flatnonzero(times)
        return present, times[present]
    return np.unique(values, return_counts=True)


def _unknown(dataset: SegmentationDataset, values: np.ndarray, times: np.ndarray) -> str:
    order = np.argsort(-times, kind="stable")[:5]
    shown = [f"{dataset.shown(int(values[i]))} ({int(times[i]):,} pixels)" for i in order]
    what = f"{int(times.sum()):,} pixels belong to no class: {', '.join(shown)}"
    if len(values) > _SMOOTH:
        what += (
            f" and {len(values) - len(order)} more: was the mask interpolated, or saved as JPEG?"
        )
    return what
