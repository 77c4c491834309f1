"""`ClassificationDataset`: images and classes of one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.decoding import decode
from visiongarden.types import ClassMap


@dataclass(frozen=True)
class ClassificationDataset:
    """Images of one split with one class each, without pixels.

    Attributes:
        class_map: Names of the classes.
        paths: Locations of the images, paths or archive members, in a fixed order.
        classes: Class index of each image.
        split: Name of the split: "train", "val" or "test".
        root: Folder or archive from which the split was read.
        dropped: Always empty; no image is dropped.
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
        """Return the location of an image: a path or an archive member."""
        return self.paths[index]

    def part(self, indices: Sequence[int]) -> ClassificationDataset:
        """Return the dataset of the images at `indices`."""
        paths = tuple(self.paths[i] for i in indices)
        return replace(self, paths=paths, classes=tuple(self.classes[i] for i in indices))

    def load(self, index: int) -> np.ndarray:
        """Decode an image to uint8 RGB of shape (height, width, 3).

        Raises:
            DataError: The image cannot be decoded.
        """
        return decode(self.paths[index])
