"""Checks, charts and fixes of datasets whose images have classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.data.image_samples import ClassSamples, classes_of
from visiongarden.data.readers.class_folders import (
    ClassFolders,
    class_folders,
    images_of,
    inner,
    is_split_by_hash,
    split_folders,
)
from visiongarden.doctor.charts import bars, histogram, sizes
from visiongarden.doctor.contents import Contents
from visiongarden.doctor.images import Look
from visiongarden.doctor.labeling import Labeling, joined
from visiongarden.doctor.labels import of_labels
from visiongarden.drawing.annotations import draw_sample, fitted
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap

SMALLEST = 16
"""Shorter side in pixels below which an image is reported as too small."""

IMBALANCE = 20
"""Ratio of images of the largest and the smallest class from which imbalance is reported."""


class Classes(Labeling):
    """Labeling of datasets whose images have one class each, as in class folders, or several."""

    unit = "images"
    rotation_note = "the image is shown rotated"
    contradiction = "error"

    def of_split(
        self, dataset: Dataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """Find class folders without images, strongly imbalanced classes, and tiny images."""
        yield from errors.notes
        yield from of_labels(dataset, split)
        for folder in class_folders(errors.root, split) if self._has_folders else ():
            if not images_of(folder):
                yield Finding(
                    "warning", "empty-class", str(folder), "the folder contains no image", split
                )
        tally = self.tally(dataset, split)
        if split == "train" and tally.any():
            smallest = int(tally[tally > 0].min())
            if tally.max() >= IMBALANCE * smallest:
                names = dataset.class_map.names
                largest = names[int(tally.argmax())]
                few = [name for name, n in zip(names, tally, strict=True) if n == smallest]
                shown = ", ".join(map(repr, few[:5]))
                what = f"class {largest!r} has {tally.max():,} images, but {shown} only"
                yield Finding(
                    "warning", "imbalance", str(errors.root), f"{what} {smallest:,} each", split
                )
        for look in looks:
            if not look.error and min(look.size) < SMALLEST:
                what = f"{look.size[1]} × {look.size[0]} pixels"
                yield Finding("warning", "small", look.path, what, split)

    @property
    def _has_folders(self) -> bool:
        """Whether folders define the classes."""
        return isinstance(self.reader, ClassFolders)

    def of_all(
        self,
        datasets: Mapping[str, Dataset],
        tallies: Mapping[str, np.ndarray],
        root: Place,
    ) -> Iterator[Finding]:
        """Find issues of all splits, among them unused image folders beside the splits."""
        yield from super().of_all(datasets, tallies, root)
        splits = split_folders(root) if self._has_folders else {}
        for folder in inner(root) if splits else ():
            if folder not in splits.values():
                parts = [folder, *inner(folder)]
                if any(map(images_of, parts)):
                    what = "images in a folder that is not a split are not read"
                    yield Finding("warning", "stray", str(folder), what)

    def tally(self, dataset: Dataset, split: str) -> np.ndarray:
        """Count the images of each class."""
        return dataset.counts()

    def differ(self, one: Dataset, i: int, other: Dataset, j: int) -> str:
        """Return the classes of two identical images if they differ, in words, else ""."""
        first, second = _names(one, i), _names(other, j)
        return f"its class is {first} there and {second} here" if first != second else ""

    def picture(self, dataset: Dataset, index: int, side: int) -> np.ndarray:
        """Draw the name of the class on a resized image."""
        sample = dataset.load(index)
        image, _ = fitted(np.asarray(sample.image), side)
        return draw_sample(image, sample, dataset.class_map)

    def charts(self, contents: Contents) -> Iterator[str]:
        """Yield charts of the classes and of the size and shape of the images."""
        yield bars("images per class", contents.counts())
        yield from sizes(contents.sizes)
        tallies = np.concatenate([*contents.tallies.values(), np.zeros(0)])
        if tallies.any():
            marks = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 1e9]
            yield histogram("images per class and split", tallies, marks)

    def settled(
        self, datasets: Mapping[str, Dataset], root: Place, changes: list[str]
    ) -> Mapping[str, Dataset]:
        """Remove images of classes without training images, and classes without images."""
        result = dict(datasets)
        if not self._has_folders:
            return result
        if is_split_by_hash(root):
            # The source has no split folders, so the copy gets none, and the hash splits it again.
            result = {"": joined(result.values(), "paths", "classes")} if result else {}
        elif "train" in result:
            trained = set(classes_of(result["train"].samples).tolist())
            for split, dataset in result.items():
                classes = classes_of(dataset.samples).tolist()
                kept = [i for i, index in enumerate(classes) if index in trained]
                for i in sorted(set(range(len(dataset))) - set(kept)):
                    what = f"{dataset.image_path(i)}: its class has no image in train"
                    changes.append(f"[{split}] left out: {what}")
                result[split] = dataset.part(kept)
        return _without_empty(result, changes)


def _without_empty(datasets: dict[str, Dataset], changes: list[str]) -> dict[str, Dataset]:
    used = sorted({i for d in datasets.values() for i in classes_of(d.samples).tolist()})
    if not used:
        return datasets
    names = next(iter(datasets.values())).class_map.names
    for index in sorted(set(range(len(names))) - set(used)):
        changes.append(f"left out: class {names[index]!r} has no image")
    # Indices must stay without gaps, so those after a removed class move up.
    new_index = {index: i for i, index in enumerate(used)}
    class_map = ClassMap(tuple(names[index] for index in used))
    result = dict(datasets)
    for split, dataset in datasets.items():
        if isinstance(dataset.samples, ClassSamples):
            classes = tuple(new_index[i] for i in dataset.samples.classes)
            samples = replace(dataset.samples, class_map=class_map, classes=classes)
            result[split] = replace(dataset, class_map=class_map, samples=samples)
    return result


def _names(dataset: Dataset, index: int) -> str:
    labels = dataset[index].labels
    found = np.zeros(0, int) if labels is None else np.flatnonzero(labels == 1)
    return " and ".join(repr(dataset.class_map.names[i]) for i in found.tolist()) or "unknown"
