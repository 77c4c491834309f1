"""`ClassificationDataset`: images of one split, each of one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.decode import decode
from visiongarden.types import ClassMap


@dataclass(frozen=True)
class ClassificationDataset:
    """Images and their classes, without the pixels.

    Attributes:
        class_map: names of the classes.
        paths: of the images, also in an archive, in a fixed order.
        classes: index of each image's class.
        split: "train", "val" or "test".
        root: where it was read from.
        dropped: what was left out; always empty here.
    """

    class_map: ClassMap
    paths: tuple[Any, ...]
    classes: tuple[int, ...]
    split: str = "train"
    root: Any = Path()
    dropped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def image_path(self, index: int) -> Any:
        """Where an image lies."""
        return self.paths[index]

    def part(self, indices: Sequence[int]) -> ClassificationDataset:
        """The data set of some images."""
        paths = tuple(self.paths[i] for i in indices)
        return replace(self, paths=paths, classes=tuple(self.classes[i] for i in indices))

    def load(self, index: int) -> np.ndarray:
        """uint8 RGB (height, width, 3).

        Raises:
            DataError: the image cannot be decoded.
        """
        return decode(self.paths[index])
