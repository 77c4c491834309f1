"""Contents of a dataset: its splits with counts of labels and image sizes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visiongarden.types import ImageSize


@dataclass(kw_only=True)
class Contents:
    """Valid part of a dataset, with counts.

    Attributes:
        datasets: images with valid labels of each split.
        tallies: int64 (classes,) for each split, number of boxes, images or pixels of each class.
        sizes: number of images of each (height, width) in each split.
    """

    datasets: dict[str, Any] = field(default_factory=dict)
    tallies: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, Counter[ImageSize]] = field(default_factory=dict)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of boxes, images or pixels by split and class name."""
        return {
            split: dict(zip(d.class_map.names, self.tallies[split].tolist(), strict=True))
            for split, d in self.datasets.items()
        }
