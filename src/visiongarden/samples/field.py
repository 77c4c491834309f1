"""`Field`: what an annotation of the objects of an image implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

import numpy as np

from visiongarden.types import ImageSize


@runtime_checkable
class Field(Protocol):
    """One annotation per object, of n objects: `Boxes`, `RotatedBoxes`, or a custom class.

    A custom field is a column of `Instances.data` and follows every selection, concatenation and
    geometric transform.

    Example:
        >>> issubclass(Boxes, Field)
        True
    """

    def __len__(self) -> int:
        """Return the number of objects."""
        ...

    def __getitem__(self, index: slice | np.ndarray) -> Self:
        """Return the objects of a slice, of an array of indices or of a boolean mask (n,)."""
        ...

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the objects of all parts, in order."""
        ...

    def warp(self, matrix: np.ndarray, size: ImageSize) -> Self:
        """Transform all objects; none is removed.

        Args:
            matrix: (3, 3), from pixels of the input to pixels of the output. Where its third row
                is 0, 0, 1, a negative determinant mirrors.
            size: (height, width) of the output.
        """
        ...

    def visible_fraction(self, size: ImageSize) -> np.ndarray:
        """Return the fraction of each object inside a canvas, (n,) from 0 to 1."""
        ...

    def to_targets(self, capacity: int, size: ImageSize) -> dict[str, np.ndarray]:
        """Return padded arrays whose names begin with the name of the field.

        Args:
            capacity: number of rows, of which the first n are used.
            size: (height, width) of the model's input.
        """
        ...


_CHECKED: dict[type, bool] = {}


def is_field(cls: type) -> bool:
    """Return whether a class implements `Field`."""
    # Kept, because the check takes longer than building all of `Instances`.
    if cls not in _CHECKED:
        _CHECKED[cls] = issubclass(cls, Field)
    return _CHECKED[cls]
