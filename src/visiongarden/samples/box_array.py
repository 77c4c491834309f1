"""`BoxArray`: base class of boxes that are the rows of one array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from visiongarden.samples import columns


class BoxArray:
    """Immutable float32 array with one row per box; `np.asarray(boxes)` is the array."""

    __slots__ = ("_array",)

    _array: np.ndarray

    @classmethod
    def _of(cls, array: np.ndarray) -> Self:
        """Return boxes of an array that has been checked."""
        boxes = object.__new__(cls)
        boxes._array = columns.read_only(array)
        return boxes

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the boxes of all parts, in order; of none, no boxes."""
        arrays = [part._array for part in parts]
        # The constructor of a subclass gives an empty array its number of columns.
        return cls._of(np.concatenate(arrays)) if arrays else cls([])  # type: ignore[call-arg]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._array, dtype, copy=copy)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: slice | np.ndarray) -> Self:
        """Return the boxes of a slice, of an array of indices or of a boolean mask (n,)."""
        return self._of(self._array[columns.selection(index, len(self))])

    def __iter__(self) -> Iterator[np.ndarray]:
        """Iterate over the rows, each an array."""
        return iter(self._array)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._array.tolist()})"
