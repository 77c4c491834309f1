"""`DetectionDataset`: what a reader returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from visiongarden.data.decode import decode
from visiongarden.errors import DataError
from visiongarden.types import ClassMap, Example


@dataclass(frozen=True)
class DetectionDataset:
    """Images of one split and their boxes, without the pixels; a value that workers can be sent.

    Attributes:
        class_map: names of the classes and the ids that the files use.
        examples: one an image, in a fixed order; images without a box are kept.
        split: "train", "val" or "test".
        root: where it was read from.
        dropped: what was left out on request (`invalid_boxes="drop"`), one line a box.
    """

    class_map: ClassMap
    examples: tuple[Example, ...]
    split: str = "train"
    root: Path = Path()
    dropped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def load(self, index: int) -> Example:
        """The example with its image decoded.

        Raises:
            DataError: the image cannot be decoded, or is not of the size that was read.
        """
        example = self.examples[index]
        if example.image is not None or example.path is None:
            return example
        image = decode(example.path)
        if example.size is not None and image.shape[:2] != example.size:
            height, width = example.size
            raise DataError(
                f"{example.path}: {image.shape[1]} × {image.shape[0]} pixels",
                rule=f"{width} × {height}, as when its labels were read",
                fix="read the data set again",
            )
        return replace(example, image=image)
