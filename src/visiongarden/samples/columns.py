"""Check and select arrays with one row per object of an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from visiongarden.errors import UserError


def numbers(name: str, values: Any, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Convert values to a read-only, finite array (n, *shape) of floats.

    Args:
        name: what the values are, for errors.
        values: numbers of that shape, or an empty sequence.
        shape: shape of one row.
        dtype: float type of the result.

    Raises:
        UserError: the values have another shape, are not numbers or not finite.
    """
    array = as_array(name, values)
    if array.shape[1:] != shape or not array.ndim:
        if array.shape != (0,):
            raise _wrong_shape(name, array, shape)
        array = array.reshape(0, *shape)
    if array.dtype != dtype:
        if array.dtype.kind not in "iuf":
            raise UserError(f"{name} are not numbers", received=f"an array of {array.dtype}")
        with np.errstate(over="ignore"):  # becomes infinite, which is reported below
            array = array.astype(dtype)
    require_finite(name, array)
    return read_only(array)


def as_array(name: str, values: Any) -> np.ndarray:
    """Return values as an array; rows of unequal lengths are a UserError."""
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{name} cannot be converted to an array",
            rule="rows of equal length",
            received=f"{values!r:.100}",
            fix="pass a NumPy array",
        ) from error


def _wrong_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> UserError:
    expected = ", ".join(map(str, ("n", *shape)))
    one_row = bool(shape) and array.shape == shape
    return UserError(
        f"{name} have the wrong shape",
        rule=f"({expected}{'' if shape else ','})",
        received=f"{array.shape}",
        fix="add an axis: array[None]" if one_row else f"pass an array of shape ({expected})",
    )


def require_finite(name: str, array: np.ndarray) -> None:
    """Raise a UserError with the first row that contains NaN or infinity."""
    flat = array.ravel()
    # The sum of squares takes a third of the time of `isfinite`. If it overflows, all are compared.
    if math.isfinite(np.vdot(flat, flat)):
        return
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(array), -1).all(axis=1)))
        raise UserError(
            f"{name} contain a number that is not finite",
            rule="finite numbers",
            received=f"{array[row].tolist()} in row {row}",
            fix="correct the annotation, or remove the row",
        )


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view of an array through which it cannot be changed."""
    view = array.view()
    view.flags.writeable = False
    return view


def selection(index: Any, length: int) -> slice | np.ndarray:
    """Check an index of `__getitem__`.

    Args:
        index: a slice, an array of indices or a boolean mask (length,).
        length: number of rows.

    Raises:
        UserError: the index has another type or shape, or is out of range.
    """
    if isinstance(index, slice):
        return index
    array = as_array("the indices", index)
    if array.shape == (0,) and array.dtype.kind != "b":
        return array.astype(np.intp)
    if array.ndim != 1 or array.dtype.kind not in "biu":
        single = array.ndim == 0 and array.dtype.kind in "iu"
        raise UserError(
            "the index of the objects is not valid",
            rule="a slice, an array of integers (k,) or a boolean mask (n,)",
            received=f"{index!r:.100}",
            fix=f"[{int(array)}:{int(array) + 1 or ''}]" if single else "np.flatnonzero(condition)",
        )
    if array.dtype.kind == "b":
        if len(array) != length:
            raise UserError(
                "the boolean mask has the wrong length",
                rule=f"one value for each of {length} objects",
                received=f"{len(array)} values",
                fix="compute the mask from the same instances",
            )
    elif array.max() >= length or array.min() < -length:
        raise UserError(
            "an index of the objects is out of range",
            rule=f"-{length} to {length - 1}" if length else "no index, there are no objects",
            received=f"{array.min()} to {array.max()}",
        )
    return array


def joined(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    """Concatenate arrays along their first axis; rows of unequal shapes are a UserError."""
    if len({array.shape[1:] for array in arrays}) > 1:
        raise UserError(
            f"{name} cannot be concatenated",
            rule="rows of the same shape",
            received=", ".join(str(array.shape) for array in arrays[:10]),
        )
    return np.concatenate(arrays)


def padded(name: str, array: np.ndarray, capacity: int) -> np.ndarray:
    """Return an array of `capacity` rows, of which the first are those of `array`; 0 pads.

    Raises:
        UserError: the array has more rows.
    """
    if capacity < len(array):
        raise UserError(
            f"{name} of {len(array)} objects do not fit into the targets",
            rule="at least as many rows as an image has objects",
            received=f"capacity={capacity}",
            fix=f"capacity={len(array)}",
        )
    rows = np.zeros((capacity, *array.shape[1:]), array.dtype)
    rows[: len(array)] = array
    return rows
