"""`ClassSamples` and `UnlabeledSamples`: images of one split with one class each, or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, overload

import numpy as np

from visiongarden.samples import ImageInfo, Sample
from visiongarden.types import ClassMap, ImageSize

UNKNOWN_SIZE: ImageSize = (0, 0)
"""Size of images whose headers are not read: opening a million files takes minutes."""


@dataclass(frozen=True)
class ClassSamples(Sequence[Sample]):
    """Samples of images with one class each, whose `labels` are one-hot.

    Attributes:
        class_map: Names of the classes.
        paths: Locations of the images, paths or archive members, in a fixed order.
        classes: Class index of each image.
    """

    class_map: ClassMap
    paths: tuple[Any, ...]
    classes: tuple[int, ...]

    fields = frozenset({"labels"})

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        labels = np.zeros(len(self.class_map), np.float32)
        labels[self.classes[place]] = 1
        return Sample(ImageInfo(place, self.paths[place], UNKNOWN_SIZE), labels=labels)

    def part(self, indices: Sequence[int]) -> ClassSamples:
        """Return the samples at `indices`."""
        paths = tuple(self.paths[i] for i in indices)
        return replace(self, paths=paths, classes=tuple(self.classes[i] for i in indices))

    def to_bytes(self) -> bytes:
        """Serialize the locations and classes of the images."""
        content = {"paths": list(map(str, self.paths)), "classes": self.classes}
        return json.dumps(content).encode()

    @classmethod
    def from_bytes(
        cls, raw: bytes, class_map: ClassMap, located: Callable[[str], Any]
    ) -> ClassSamples:
        """Deserialize samples from the output of `to_bytes`.

        Raises:
            ValueError: The bytes are not serialized samples.
        """
        content = json.loads(raw)
        return cls(class_map, tuple(map(located, content["paths"])), tuple(content["classes"]))

    def image_path(self, index: int) -> Any:
        """Return the location of an image: a path or an archive member."""
        return self.paths[index]

    def counts(self) -> np.ndarray:
        """Return int64 (classes,): the number of images of each class."""
        return np.bincount(np.array(self.classes, np.int64), minlength=len(self.class_map))


def classes_of(samples: Sequence[Sample]) -> np.ndarray:
    """Return int64 (images,): the class of each image, -1 where it has not exactly one."""
    if isinstance(samples, ClassSamples):
        return np.array(samples.classes, np.int64)
    found = np.full(len(samples), -1, np.int64)
    for index, sample in enumerate(samples):
        labels = sample.labels
        if labels is not None and np.count_nonzero(labels) == 1 and labels.max() == 1:
            found[index] = int(labels.argmax())
    return found


@dataclass(frozen=True)
class UnlabeledSamples(Sequence[Sample]):
    """Samples of images without annotations.

    Attributes:
        paths: Locations of the images, paths or archive members, in a fixed order.
    """

    paths: tuple[Any, ...]

    fields: ClassVar[frozenset[str]] = frozenset()

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return Sample(ImageInfo(place, self.paths[place], UNKNOWN_SIZE))

    def part(self, indices: Sequence[int]) -> UnlabeledSamples:
        """Return the samples at `indices`."""
        return UnlabeledSamples(tuple(self.paths[i] for i in indices))

    def image_path(self, index: int) -> Any:
        """Return the location of an image: a path or an archive member."""
        return self.paths[index]
