"""Checks, charts and fixes of classification datasets in class folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from visiongarden.data.error_list import ErrorList, Finding
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.readers.folders import (
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
from visiongarden.drawing.annotations import draw_classes, fitted
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap

SMALLEST = 16
"""Shorter side in pixels below which an image is reported as too small."""

IMBALANCE = 20
"""Ratio of images of the largest and the smallest class from which imbalance is reported."""


class Classes(Labeling):
    """Labeling of classification datasets: one class for each image, given by its folder."""

    unit = "images"
    rotation_note = "the image is shown rotated"
    contradiction = "error"

    def of_split(
        self, dataset: ClassificationDataset, errors: ErrorList, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """Find class folders without images, strongly imbalanced classes, and tiny images."""
        for folder in class_folders(errors.root, split):
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

    def of_all(
        self,
        datasets: Mapping[str, ClassificationDataset],
        tallies: Mapping[str, np.ndarray],
        root: Place,
    ) -> Iterator[Finding]:
        """Find issues of all splits, among them unused image folders beside the splits."""
        yield from super().of_all(datasets, tallies, root)
        splits = split_folders(root)
        for folder in inner(root) if splits else ():
            if folder not in splits.values():
                parts = [folder, *inner(folder)]
                if any(map(images_of, parts)):
                    what = "images in a folder that is not a split are not read"
                    yield Finding("warning", "stray", str(folder), what)

    def tally(self, dataset: ClassificationDataset, split: str) -> np.ndarray:
        """Count the images of each class."""
        classes = np.array(dataset.classes, np.int64)
        return np.bincount(classes, minlength=len(dataset.class_map)).astype(np.int64)

    def differ(
        self, one: ClassificationDataset, i: int, other: ClassificationDataset, j: int
    ) -> str:
        """Return the classes of two identical images if they differ, in words, else ""."""
        first = one.class_map.names[one.classes[i]]
        second = other.class_map.names[other.classes[j]]
        return f"its class is {first!r} there and {second!r} here" if first != second else ""

    def picture(self, dataset: ClassificationDataset, index: int, side: int) -> np.ndarray:
        """Draw the name of the class on a resized image."""
        image, _ = fitted(dataset.load(index), side)
        target = np.zeros(len(dataset.class_map))
        target[dataset.classes[index]] = 1
        return draw_classes(image, target, dataset.class_map)

    def charts(self, contents: Contents) -> Iterator[str]:
        """Yield charts of the classes and of the size and shape of the images."""
        yield bars("images per class", contents.counts())
        yield from sizes(contents.sizes)
        tallies = np.concatenate([*contents.tallies.values(), np.zeros(0)])
        if tallies.any():
            marks = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 1e9]
            yield histogram("images per class and split", tallies, marks)

    def settled(
        self, datasets: Mapping[str, ClassificationDataset], root: Place, changes: list[str]
    ) -> Mapping[str, ClassificationDataset]:
        """Remove images of classes without training images, and classes without images."""
        result = dict(datasets)
        if is_split_by_hash(root):
            # The source has no split folders, so the copy gets none, and the hash splits it again.
            result = {"": joined(result.values(), "paths", "classes")} if result else {}
        elif "train" in result:
            trained = set(result["train"].classes)
            for split, dataset in result.items():
                kept = [i for i, index in enumerate(dataset.classes) if index in trained]
                for i in sorted(set(range(len(dataset))) - set(kept)):
                    what = f"{dataset.paths[i]}: its class has no image in train"
                    changes.append(f"[{split}] left out: {what}")
                result[split] = dataset.part(kept)
        return _without_empty(result, changes)


def _without_empty(
    datasets: dict[str, ClassificationDataset], changes: list[str]
) -> dict[str, ClassificationDataset]:
    used = sorted({index for dataset in datasets.values() for index in dataset.classes})
    if not used:
        return datasets
    names = next(iter(datasets.values())).class_map.names
    for index in sorted(set(range(len(names))) - set(used)):
        changes.append(f"left out: class {names[index]!r} has no image")
    # Indices must stay without gaps, so those after a removed class move up.
    new_index = {index: i for i, index in enumerate(used)}
    class_map = ClassMap(tuple(names[index] for index in used))
    return {
        split: replace(d, class_map=class_map, classes=tuple(new_index[i] for i in d.classes))
        for split, d in datasets.items()
    }
