"""Contents of a dataset: its splits with counts of labels and image sizes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.types import ImageSize


@dataclass(kw_only=True)
class Contents:
    """Valid part of a dataset, with counts.

    Attributes:
        datasets: images with valid labels of each split.
        tallies: int64 (classes,) for each split, number of boxes, images, values or pixels
            of each class or label.
        sizes: number of images of each (height, width) in each split.
    """

    datasets: dict[str, Dataset] = field(default_factory=dict)
    tallies: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, Counter[ImageSize]] = field(default_factory=dict)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of boxes, images, values or pixels by split and name."""
        return {
            split: dict(zip(names_of(d), self.tallies[split].tolist(), strict=True))
            for split, d in self.datasets.items()
        }


def names_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the names of what is counted: the classes, or the labels that are values."""
    has_objects = "boxes" in dataset.fields
    if dataset.label_map is None or has_objects:
        return dataset.class_map.names
    return dataset.label_map.names
