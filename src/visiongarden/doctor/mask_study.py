"""Decode one segmentation mask and count its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.semantic_samples import SemanticSamples, is_lossy
from visiongarden.errors import DataError
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import read_bytes
from visiongarden.types import IGNORE, ClassMap, ImageSize

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


def study(dataset: Dataset, index: int, size: ImageSize | None) -> Study:
    """Decode one mask and count its classes.

    Args:
        dataset: dataset of the mask.
        index: position in the dataset.
        size: (height, width) of the image, or None if the image cannot be decoded.
    """
    path, samples = mask_path(dataset, index), dataset.samples
    try:
        lossy = isinstance(samples, SemanticSamples) and is_lossy(
            read_bytes(samples.masks[index], MAX_BYTES)
        )
        values = stored_values(dataset, index) if not lossy else np.zeros((0, 0))
    except DataError as error:
        received = f" ({error.received})" if error.received else ""
        return Study(path, "mask", error.what.removeprefix(f"{path}: ") + received)
    if lossy:
        return Study(path, "lossy", "a JPEG or lossy WebP file, which changes the class values")
    if size is not None and values.shape != size:
        return Study(path, "size", _other_size(dataset, index, size, values.shape))
    present, times = _counted(values)
    classes, unknown = _classes_of(dataset, present)
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


def _unknown(dataset: Dataset, values: np.ndarray, times: np.ndarray) -> str:
    order = np.argsort(-times, kind="stable")[:5]
    listed = [f"{shown(dataset, int(values[i]))} ({int(times[i]):,} pixels)" for i in order]
    what = f"{int(times.sum()):,} pixels belong to no class: {', '.join(listed)}"
    if len(values) > _SMOOTH:
        what += (
            f" and {len(values) - len(order)} more: was the mask interpolated, or saved as JPEG?"
        )
    return what


def mask_path(dataset: Dataset, index: int) -> str:
    """Return the location of a mask as text; that of the image for a mask in memory."""
    if isinstance(dataset.samples, SemanticSamples):
        return str(dataset.samples.masks[index])
    return dataset.location(index)


def stored_values(dataset: Dataset, index: int) -> np.ndarray:
    """Return the values of a mask as stored, int32 (height, width); of one in memory, the classes.

    Raises:
        DataError: the mask cannot be decoded, or the sample has no mask.
    """
    if isinstance(dataset.samples, SemanticSamples):
        return dataset.samples.values(index)
    found = dataset.load(index).semantic
    if found is None:
        raise DataError(f"{dataset.location(index)}: the sample has no semantic mask")
    return found.astype(np.int32)


def shown(dataset: Dataset, value: int) -> str:
    """Format a stored value as it is written in the file that names the classes."""
    samples = dataset.samples
    return samples.shown(value) if isinstance(samples, SemanticSamples) else str(value)


def all_of(class_map: ClassMap, classes: Sequence[int]) -> str:
    """Describe masks that contain only one class, or none."""
    names = [class_map.names[index] for index in classes]
    return f"all masks together contain {f'only {names[0]!r}' if names else 'no class'}"


def _classes_of(dataset: Dataset, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the class index of each value, and which values belong to no class."""
    if isinstance(dataset.samples, SemanticSamples):
        return dataset.samples.classes_of(values)
    unknown = (values != IGNORE) & ((values < 0) | (values >= len(dataset.class_map)))
    return np.where(unknown, 0, values).astype(np.uint8), unknown


def _other_size(dataset: Dataset, index: int, image: ImageSize, mask: Sequence[int]) -> str:
    path = mask_path(dataset, index)
    if isinstance(dataset.samples, SemanticSamples):
        return dataset.samples.other_size(index, image, mask).removeprefix(f"{path}: ")
    return f"{mask[1]} × {mask[0]} pixels, but the image has {image[1]} × {image[0]}"
