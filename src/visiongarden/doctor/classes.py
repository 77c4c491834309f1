"""`Classes`: what the doctor knows of folders of classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from visiongarden.data.faults import Faults, Finding
from visiongarden.data.labelled_images import ClassificationDataset
from visiongarden.data.readers.folders import (
    class_folders,
    inner,
    is_image,
    is_split_by_hash,
    split_folders,
)
from visiongarden.doctor.charts import bars, histogram, sizes
from visiongarden.doctor.contents import Contents
from visiongarden.doctor.images import Look
from visiongarden.doctor.labelling import Labelling, joined
from visiongarden.drawing.annotations import draw_classes, fitted
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap

SMALLEST = 16
"""Pixels of the shorter side under which an image shows hardly anything."""

IMBALANCE = 20
"""Times as many images as the smallest class has that are rarely meant."""


class Classes(Labelling):
    """Images of one class each."""

    unit = "images"
    turned = "shown rotated"
    contradiction = "error"

    def of_split(
        self, dataset: ClassificationDataset, faults: Faults, split: str, looks: Sequence[Look]
    ) -> Iterator[Finding]:
        """Classes without images, far fewer images of one class than of another, tiny images."""
        for folder in class_folders(faults.root, split):
            if not any(map(is_image, folder.iterdir())):
                yield Finding("warning", "empty-class", str(folder), "holds no image", split)
        tally = self.tally(dataset, split)
        if split == "train" and tally.any():
            least = int(tally[tally > 0].min())
            if tally.max() >= IMBALANCE * least:
                names = dataset.class_map.names
                most = names[int(tally.argmax())]
                few = [name for name, n in zip(names, tally, strict=True) if n == least]
                what = f"{most!r} has {tally.max():,} images, {', '.join(map(repr, few[:5]))}"
                yield Finding(
                    "warning", "imbalance", str(faults.root), f"{what} {least:,} each", split
                )
        for look in looks:
            if not look.fault and min(look.size) < SMALLEST:
                what = f"{look.size[1]} × {look.size[0]} pixels"
                yield Finding("warning", "small", look.path, what, split)

    def of_all(
        self,
        datasets: Mapping[str, ClassificationDataset],
        tallies: Mapping[str, np.ndarray],
        root: Place,
    ) -> Iterator[Finding]:
        """Also folders of images that lie beside the splits and are not read."""
        yield from super().of_all(datasets, tallies, root)
        splits = split_folders(root)
        for folder in inner(root) if splits else ():
            if folder not in splits.values():
                parts = [folder, *inner(folder)]
                if any(is_image(file) for part in parts for file in part.iterdir()):
                    what = "images in a folder beside those of the splits are not read"
                    yield Finding("warning", "stray", str(folder), what)

    def tally(self, dataset: ClassificationDataset, split: str) -> np.ndarray:
        """Images of each class."""
        classes = np.array(dataset.classes, np.int64)
        return np.bincount(classes, minlength=len(dataset.class_map)).astype(np.int64)

    def differ(
        self, one: ClassificationDataset, i: int, other: ClassificationDataset, j: int
    ) -> str:
        """Whether one image lies in the folders of two classes."""
        first = one.class_map.names[one.classes[i]]
        second = other.class_map.names[other.classes[j]]
        return f"it is {first!r} there and {second!r} here" if first != second else ""

    def picture(self, dataset: ClassificationDataset, index: int, side: int) -> np.ndarray:
        """The image with the name of its class."""
        image, _ = fitted(dataset.load(index), side)
        target = np.zeros(len(dataset.class_map))
        target[dataset.classes[index]] = 1
        return draw_classes(image, target, dataset.class_map)

    def charts(self, contents: Contents) -> Iterator[str]:
        """Classes; size and shape of the images."""
        yield bars("images of each class", contents.counts())
        yield from sizes(contents.sizes)
        tallies = np.concatenate([*contents.tallies.values(), np.zeros(0)])
        if tallies.any():
            marks = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 1e9]
            yield histogram("images of a class in a split", tallies, marks)

    def settled(
        self, datasets: Mapping[str, ClassificationDataset], root: Place, changes: list[str]
    ) -> Mapping[str, ClassificationDataset]:
        """Without images of classes that cannot be learned, and without classes of no image."""
        found = dict(datasets)
        if is_split_by_hash(root):
            found = {"": joined(found.values(), "paths", "classes")} if found else {}
        elif "train" in found:
            learned = set(found["train"].classes)
            for split, dataset in found.items():
                kept = [i for i, index in enumerate(dataset.classes) if index in learned]
                for i in sorted(set(range(len(dataset))) - set(kept)):
                    what = f"{dataset.paths[i]}: train has no image of its class"
                    changes.append(f"[{split}] left out: {what}")
                found[split] = dataset.part(kept)
        return _without_empty(found, changes)


def _without_empty(
    datasets: dict[str, ClassificationDataset], changes: list[str]
) -> dict[str, ClassificationDataset]:
    used = sorted({index for dataset in datasets.values() for index in dataset.classes})
    if not used:
        return datasets
    names = next(iter(datasets.values())).class_map.names
    for index in sorted(set(range(len(names))) - set(used)):
        changes.append(f"left out: class {names[index]!r} has no image")
    place = {index: i for i, index in enumerate(used)}
    class_map = ClassMap(tuple(names[index] for index in used))
    return {
        split: replace(d, class_map=class_map, classes=tuple(place[i] for i in d.classes))
        for split, d in datasets.items()
    }
