"""Checks and charts of datasets whose images have values, as for regression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.doctor.charts import bars, histogram, sizes
from visiongarden.doctor.contents import Contents
from visiongarden.doctor.images import Look
from visiongarden.doctor.labeling import Labeling
from visiongarden.doctor.labels import labels_of, of_labels
from visiongarden.drawing.annotations import draw_sample, fitted
from visiongarden.storage.place import Place


class Values(Labeling):
    """Labeling of datasets whose images have named values, such as a steering angle."""

    unit = "values"
    rotation_note = "the image is shown rotated"

    def of_split(
        self, dataset: Dataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """Find unknown and constant values."""
        yield from errors.notes
        yield from of_labels(dataset, split)

    def of_all(
        self, datasets: Mapping[str, Dataset], tallies: Mapping[str, np.ndarray], root: Place
    ) -> Iterator[Finding]:
        """Find splits with other labels."""
        first, *others = datasets.items()
        for split, dataset in others:
            if dataset.label_map != first[1].label_map:
                what = f"the labels differ from those of {first[0]}: {dataset.label_map}"
                yield Finding("error", "class-map", str(root), what, split)

    def tally(self, dataset: Dataset, split: str) -> np.ndarray:
        """Count the known values of each label."""
        return np.asarray((~np.isnan(labels_of(dataset))).sum(axis=0))

    def differ(self, one: Dataset, i: int, other: Dataset, j: int) -> str:
        """Return how the values of two identical images differ, in words; "" if they do not."""
        first, second = one.row(i).labels, other.row(j).labels
        if first is None or second is None or np.array_equal(first, second, equal_nan=True):
            return ""
        return f"its values are {first.tolist()} there and {second.tolist()} here"

    def picture(self, dataset: Dataset, index: int, side: int) -> np.ndarray:
        """Draw the values on a resized image."""
        sample = dataset.load(index)
        image, _ = fitted(np.asarray(sample.image), side)
        return draw_sample(image, sample, dataset.class_map, dataset.label_map)

    def charts(self, contents: Contents) -> Iterator[str]:
        """Yield charts of the known values, of their distribution, and of the image sizes."""
        yield bars("known values per label", contents.counts())
        labels: dict[str, list[np.ndarray]] = {}
        for dataset in contents.datasets.values():
            if dataset.label_map is not None:
                for name, column in zip(dataset.label_map.names, labels_of(dataset).T, strict=True):
                    labels.setdefault(name, []).append(column[~np.isnan(column)])
        for name, columns in labels.items():
            values = np.concatenate(columns)
            if len(values) and values.min() < values.max():
                marks = np.linspace(values.min(), values.max(), 13).tolist()
                yield histogram(name, values, marks)
        yield from sizes(contents.sizes)
