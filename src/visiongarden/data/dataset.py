"""`DetectionDataset`: what a reader returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.decode import decode
from visiongarden.data.pixels import to_pixels
from visiongarden.data.table import Table
from visiongarden.errors import DataError
from visiongarden.types import ClassMap, Example, ImageSize


@dataclass(frozen=True)
class DetectionDataset:
    """Images of one split and their boxes, without the pixels; a value that workers can be sent.

    Attributes:
        class_map: names of the classes and the ids that the files use.
        examples: one an image, in a fixed order; images without a box are kept.
        split: "train", "val" or "test".
        root: where it was read from.
        dropped: what was left out on request (`invalid_boxes="drop"`), one line a box.
        extra: keys of the annotation file that nothing here reads, as COCO's `info`.
        categories: such keys of each class, as COCO's `supercategory`; empty where there are none.
        notes: what is not used of the labels, or used in a way that may surprise.
    """

    class_map: ClassMap
    examples: Sequence[Example]
    split: str = "train"
    root: Any = Path()
    dropped: list[str] = field(default_factory=list)
    extra: Mapping[str, Any] = field(default_factory=dict)
    categories: tuple[Mapping[str, Any], ...] = ()
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def counts(self) -> np.ndarray:
        """int (images,): number of boxes of each image."""
        if isinstance(self.examples, Table):
            return self.examples.counts()
        counted = getattr(self.examples, "counts", None)
        if counted is not None:
            return np.asarray(counted())
        return np.array([len(example.boxes) for example in self.examples], np.int64)

    def image_path(self, index: int) -> Any:
        """Where an image lies: a path, a member of an archive, a record."""
        if isinstance(self.examples, Table):
            return self.examples.located(self.examples.names[index])
        return self.examples[index].path

    def load(self, index: int, least: ImageSize | None = None) -> Example:
        """The example with its image decoded; boxes stay in pixels of the whole image.

        Args:
            index: which one.
            least: as of `decode`: a JPEG much larger than this canvas is decoded smaller.

        Raises:
            DataError: the image cannot be decoded, or is not of the size that was read.
        """
        example = self.examples[index]
        if example.image is not None:
            name = f"the image of example {index}"
            return replace(example, image=to_pixels(example.image, name=name))
        if example.path is None:
            return example
        image = decode(example.path, least)
        height, width = example.size or image.shape[:2]
        # A reduced image has the nearest whole number of pixels upwards.
        fits = any(
            image.shape[:2] == (-(-height // times), -(-width // times))
            for times in ((1,) if least is None else (1, 2, 4, 8))
        )
        if not fits:
            raise DataError(
                f"{example.path}: {image.shape[1]} × {image.shape[0]} pixels",
                rule=f"{width} × {height}, as when its labels were read",
                fix="read the data set again",
            )
        return replace(example, image=image)


def crowds_of(dataset: DetectionDataset) -> np.ndarray | None:
    """bool (boxes,): which boxes of a split are crowds; None where each image must be asked."""
    examples = dataset.examples
    if isinstance(examples, Table):
        return examples.arrays["crowd"]
    if not isinstance(examples, (list, tuple)):
        return None
    every = [e.crowd if e.crowd is not None else np.zeros(len(e.boxes), bool) for e in examples]
    return np.concatenate([*every, np.zeros(0, bool)])
