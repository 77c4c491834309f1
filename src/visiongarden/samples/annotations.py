"""`Annotations`: a split of a dataset without pixels."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from visiongarden.samples.sample import Sample
from visiongarden.types import ClassMap, LabelMap


@runtime_checkable
class Annotations(Protocol):
    """Images and annotations of one split, without pixels: what a reader returns.

    `visiongarden.data.Dataset` implements it for samples that are in memory, as a table or as a
    list. A class of your own may read its samples when they are needed.
    """

    @property
    def class_map(self) -> ClassMap:
        """Names of the classes."""
        ...

    @property
    def label_map(self) -> LabelMap | None:
        """Meaning of the columns of `Sample.labels`; None if they are the classes."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Return one sample, whose image is None: it is not decoded yet."""
        ...

    def counts(self) -> np.ndarray:
        """Return int64 (classes,): the number of objects, or of images, of each class."""
        ...

    def location(self, index: int, row: int | None = None) -> str:
        """Return where a sample, or one of its objects, is annotated, such as "file:line"."""
        ...
