"""`DetectionDataset`: images and boxes of one split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from visiongarden.data.decoding import decode
from visiongarden.data.pixels import to_pixels
from visiongarden.data.table import Table
from visiongarden.errors import DataError
from visiongarden.types import ClassMap, Example, ImageSize


@runtime_checkable
class _Counted(Protocol):
    """Examples that know their number of boxes."""

    def counts(self) -> Any: ...


@dataclass(frozen=True)
class DetectionDataset:
    """Images and boxes of one split, without pixels; can be pickled for worker processes.

    Attributes:
        class_map: Names of the classes and the ids that the files use for them.
        examples: One example per image, in a fixed order; images without boxes are included.
        split: Name of the split: "train", "val" or "test".
        root: Folder, file or archive from which the split was read.
        dropped: One line per box that was removed on request (`invalid_boxes="drop"`).
        extra: Keys of the annotation file that visiongarden does not use, such as COCO's `info`.
        categories: Unused keys of each class, such as COCO's `supercategory`; empty without any.
        notes: Labels that are not used, or are used in a way that may be unexpected.
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
        """Return int64 (images,): the number of boxes of each image."""
        if isinstance(self.examples, Table):
            return self.examples.counts()
        # Examples that are read on demand provide an upper bound; counting would load each of them.
        if isinstance(self.examples, _Counted):
            return np.asarray(self.examples.counts())
        return np.array([len(example.boxes) for example in self.examples], np.int64)

    def image_path(self, index: int) -> Any:
        """Return the location of an image: a path, an archive member or a record."""
        if isinstance(self.examples, Table):
            return self.examples.located(self.examples.names[index])
        return self.examples[index].path

    def load(self, index: int, min_size: ImageSize | None = None) -> Example:
        """Load an example with its decoded image; boxes remain in pixels of the full-size image.

        Args:
            index: Index of the example.
            min_size: (height, width) of the canvas. A JPEG that is much larger is decoded at a
                reduced size, see `decode`.

        Raises:
            DataError: The image cannot be decoded, or its size differs from the one found when the
                dataset was read.
        """
        example = self.examples[index]
        if example.image is not None:
            name = f"the image of example {index}"
            return replace(example, image=to_pixels(example.image, name=name))
        if example.path is None:
            return example
        image = decode(example.path, min_size)
        height, width = example.size or image.shape[:2]
        # libjpeg rounds the sides of a reduced image up.
        fits = any(
            image.shape[:2] == (-(-height // times), -(-width // times))
            for times in ((1,) if min_size is None else (1, 2, 4, 8))
        )
        if not fits:
            raise DataError(
                f"{example.path}: the image has {image.shape[1]} × {image.shape[0]} pixels",
                rule=f"{width} × {height}, its size when the labels were read",
                fix="read the dataset again",
            )
        return replace(example, image=image)


def crowds_of(dataset: DetectionDataset) -> np.ndarray | None:
    """Return bool (boxes,): which boxes of a split are crowd regions.

    None if the examples are read on demand, so that each of them would have to be loaded.
    """
    examples = dataset.examples
    if isinstance(examples, Table):
        return examples.arrays["crowd"]
    if not isinstance(examples, (list, tuple)):
        return None
    every = [e.crowd if e.crowd is not None else np.zeros(len(e.boxes), bool) for e in examples]
    return np.concatenate([*every, np.zeros(0, bool)])
