"""`Pair`: a weight of the source and the weight of the target to copy it to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from visiongarden.weights.class_rows import Rows
from visiongarden.weights.live import Owned
from visiongarden.weights.rules import Change
from visiongarden.weights.sources import Stored
from visiongarden.weights.torch_names import as_keras


@dataclass(frozen=True)
class Pair:
    """A weight of the source and the weight of the target to copy it to.

    Attributes:
        stored: The weight of the source.
        owned: The weight of the target.
        was_renamed: Whether a rule changed the name.
        convert: Function that converts the array to Keras's axis order; None if the axis order of
            the layer is not known.
        rows: Rows to copy, for a class output whose classes differ; None copies all elements.
    """

    stored: Stored
    owned: Owned
    was_renamed: bool
    convert: Callable[[Any], Any] | None
    rows: Rows | None = None

    def shape(self) -> tuple[int, ...] | None:
        """Return the shape in the target's axis order, or None if it is not known."""
        if self.convert is None:
            return None
        try:
            # A broadcast scalar has the shape without the memory, so that the array is not read.
            placeholder = np.broadcast_to(np.zeros((), np.int8), self.stored.shape)
            return tuple(self.convert(placeholder).shape)
        except ValueError:
            return None

    def conversion(self) -> str:
        """Return the conversion of the dtype, such as "float16 → float32", or "" if none."""
        dtype = str(keras.backend.standardize_dtype(self.owned.variable.dtype))
        return "" if dtype == self.stored.dtype else f"{self.stored.dtype} → {dtype}"

    def fits(self) -> bool:
        """Return whether the shapes agree, and the dtypes are equal or both floating point."""
        dtype = str(keras.backend.standardize_dtype(self.owned.variable.dtype))
        same_kind = dtype == self.stored.dtype or (
            "float" in dtype and "float" in self.stored.dtype
        )
        shape, wanted = self.shape(), tuple(self.owned.variable.shape)
        if self.rows is not None and shape is not None:
            return same_kind and shape == (*wanted[:-1], self.rows.source_size)
        return same_kind and shape == wanted

    def copied(self) -> int:
        """Return the number of elements to copy."""
        whole = size_of(self.owned.variable)
        if self.rows is None:
            return whole
        return whole // int(self.owned.variable.shape[-1]) * len(self.rows.to)


def pair(
    stored: Stored, owned: Owned, was_renamed: bool = False, change: Change | None = None
) -> Pair:
    """Pair two weights, with the conversion from the source's axis order to Keras's.

    Args:
        stored: The weight of the source.
        owned: The weight of the target.
        was_renamed: Whether a rule changed the name.
        change: Change of the values that rules specify. One with `transpose` replaces the
            conversion of the axes.
    """
    plain: Callable[[Any], Any] = lambda array: array  # noqa: E731
    is_torch = stored.torch and (change is None or change.transpose is None)
    convert = as_keras(owned.path, owned.layer) if is_torch else plain
    if change is None or convert is None:
        return Pair(stored, owned, was_renamed, convert)
    return Pair(stored, owned, was_renamed, lambda array: change.apply(convert(array)))


def size_of(variable: Any) -> int:
    """Return the number of elements of a variable."""
    return int(np.prod(variable.shape, dtype=np.int64))
