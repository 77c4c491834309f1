"""Checks of the labels of whole images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import Finding
from visiongarden.data.image_samples import ClassSamples


def labels_of(dataset: Dataset) -> np.ndarray:
    """Return the labels of all images, float32 (images, k); NaN is unknown."""
    count = len(dataset.class_map if dataset.label_map is None else dataset.label_map)
    found = np.full((len(dataset), count), np.nan, np.float32)
    for index, row in enumerate(dataset.rows()):
        if row.labels is not None:
            found[index] = row.labels
    return found


def of_labels(dataset: Dataset, split: str) -> Iterator[Finding]:
    """Find labels that are unknown for some images, and labels that never vary.

    Args:
        dataset: valid part of a split.
        split: name of the split.
    """
    if "labels" not in dataset.fields or isinstance(dataset.samples, ClassSamples):
        return  # images of class folders have exactly one class
    names = (dataset.class_map if dataset.label_map is None else dataset.label_map).names
    labels, root = labels_of(dataset), str(dataset.root)
    for name, column in zip(names, labels.T, strict=True):
        known = column[~np.isnan(column)]
        unknown = len(column) - len(known)
        if unknown:
            level = "warning" if not len(known) else "note"
            what = f"label {name!r} is unknown for {unknown:,} of {len(column):,} images"
            yield Finding(level, "label-unknown", root, what, split)
        # A class without any image is reported as an unused class.
        is_unused = dataset.label_map is None and not known.any()
        if len(known) > 1 and known.min() == known.max() and not is_unused:
            what = f"label {name!r} is {known[0]:g} in all {len(known):,} images that have it"
            yield Finding("warning", "label-constant", root, what, split)
