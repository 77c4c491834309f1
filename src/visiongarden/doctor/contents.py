"""`Contents`: what is in each split of a dataset, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visiongarden.types import ImageSize


@dataclass(kw_only=True)
class Contents:
    """The usable part of a dataset.

    Attributes:
        datasets: split -> its images with valid labels.
        tallies: split -> int64 (classes,): boxes, images or pixels of each class.
        sizes: split -> (height, width) of its images, and how often each occurs.
    """

    datasets: dict[str, Any] = field(default_factory=dict)
    tallies: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, Counter[ImageSize]] = field(default_factory=dict)

    def counts(self) -> dict[str, dict[str, int]]:
        """Split -> class -> boxes, images or pixels of it."""
        return {
            split: dict(zip(d.class_map.names, self.tallies[split].tolist(), strict=True))
            for split, d in self.datasets.items()
        }
