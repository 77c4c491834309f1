"""Checks and charts of images without annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.doctor.charts import sizes
from visiongarden.doctor.contents import Contents
from visiongarden.doctor.images import Look
from visiongarden.doctor.labeling import Labeling
from visiongarden.drawing import to_display
from visiongarden.drawing.annotations import fitted
from visiongarden.storage.place import Place


class Unlabeled(Labeling):
    """Labeling of images without annotations: only the images are checked."""

    unit = "images"
    rotation_note = "the image is shown rotated"

    def of_split(
        self, dataset: Dataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """Yield the notes of the reader."""
        yield from errors.notes

    def of_all(
        self, datasets: Mapping[str, Dataset], tallies: Mapping[str, np.ndarray], root: Place
    ) -> Iterator[Finding]:
        """Yield nothing, since there are no classes."""
        yield from ()

    def tally(self, dataset: Dataset, split: str) -> np.ndarray:
        """Return 0 for each class."""
        return np.zeros(len(dataset.class_map), np.int64)

    def picture(self, dataset: Dataset, index: int, side: int) -> np.ndarray:
        """Return the resized image, as 8-bit RGB."""
        image = to_display(np.asarray(dataset.load(index).image))
        return fitted(image, side)[0]

    def charts(self, contents: Contents) -> Iterator[str]:
        """Yield charts of the size and shape of the images."""
        yield from sizes(contents.sizes)
