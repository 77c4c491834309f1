"""Check the fields of `Instances` and convert them to their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from types import MappingProxyType
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import columns
from visiongarden.samples.boxes import Boxes
from visiongarden.samples.field import Field, is_field
from visiongarden.samples.rotated_boxes import RotatedBoxes
from visiongarden.types import ImageSize

COLUMNS = ("boxes", "classes", "scores", "masks", "keypoints", "crowd", "area")
"""Arguments of `Instances` with one row per object."""
ARGUMENTS = ("size", *COLUMNS, "data", "class_map", "image")
"""Arguments of `Instances`."""

NO_DATA: Mapping[str, Field | np.ndarray] = MappingProxyType({})

_MEMBERS = ("__len__", "__getitem__", "concatenate", "warp", "visible_fraction", "to_targets")
"""Members of a `Field`."""


def _boxes(name: str, value: Any) -> Boxes | RotatedBoxes:
    if not isinstance(value, Boxes | RotatedBoxes):
        raise _wrong_type(name, value, "Boxes or RotatedBoxes", "boxes=Boxes(boxes)")
    return value


def _field(name: str, value: Any) -> Field:
    if not is_field(type(value)):
        raise _wrong_type(name, value, "a Field", f"{name}=None")
    field: Field = value
    return field


def _integers(name: str, values: Any) -> np.ndarray:
    """Return classes as int32 (n,)."""
    array = columns.as_array(name, values)
    if array.dtype == np.int32 and array.ndim == 1:
        return columns.read_only(array)
    if array.shape == (0,):
        array = array.astype(np.int32)
    with np.errstate(invalid="ignore"):
        converted = array.astype(np.int32) if array.dtype.kind in "iu" else None
    if converted is None or array.ndim != 1 or (converted != array).any():
        raise UserError(
            "the classes are not valid",
            rule="integers of 32 bits and shape (n,)",
            received=f"{array.dtype} of shape {array.shape}",
            fix="np.asarray(classes, np.int32)",
        )
    return columns.read_only(converted)


def _booleans(name: str, values: Any) -> np.ndarray:
    """Return crowd flags as bool (n,)."""
    array = columns.as_array(name, values)
    if array.ndim != 1 or (array.dtype != bool and not np.isin(array, (0, 1)).all()):
        raise UserError(
            "the crowd flags are not valid",
            rule="True or False, 1 or 0, of shape (n,)",
            received=f"{array.dtype} of shape {array.shape}",
            fix="np.asarray(crowd, bool)",
        )
    return columns.read_only(array.astype(bool, copy=False))


CHECKED: Mapping[str, Callable[[str, Any], Any]] = {
    "boxes": _boxes,
    "classes": _integers,
    "scores": lambda name, values: columns.numbers(name, values, ()),
    "masks": _field,
    "keypoints": _field,
    "crowd": _booleans,
    "area": lambda name, values: columns.numbers("areas", values, (), np.float64),
}
"""Functions that check and convert each field."""


def further(data: Mapping[str, Any] | None) -> Mapping[str, Field | np.ndarray]:
    """Return the further columns after checks."""
    return MappingProxyType({n: _column(n, v) for n, v in data.items()}) if data else NO_DATA


def _column(name: str, value: Any) -> Field | np.ndarray:
    """Return a column of `data`."""
    if not isinstance(name, str) or name in ARGUMENTS:
        raise UserError(
            f"{name!r} cannot be the name of a column in data",
            rule=f"text, other than {', '.join(ARGUMENTS)}",
            fix=f"data={{'my_{name}': ...}}",
        )
    if isinstance(value, np.ndarray):
        if not value.ndim:
            raise _wrong_type(name, value, "an array with one row per object", "np.full(n, value)")
        return columns.read_only(value)
    if is_field(type(value)):
        field: Field = value
        return field
    missing = [member for member in _MEMBERS if member not in dir(type(value))]
    fix = f"data={{{name!r}: np.asarray(...)}}"
    if len(missing) < len(_MEMBERS) - 2:  # lists have a length and are indexed
        fix = f"define {', '.join(missing)} of {type(value).__name__}"
    raise _wrong_type(name, value, "a Field or an array", fix)


def warped_column(name: str, value: Field, matrix: np.ndarray, size: ImageSize) -> Field:
    """Return a transformed column of `data`, whose class may be the user's.

    Raises:
        UserError: `warp` returns another type or number of objects.
    """
    found = value.warp(matrix, size)
    kind = type(value).__name__
    if is_field(type(found)) and len(found) == len(value):
        return found
    raise UserError(
        f"{kind}.warp returns something else than the transformed field {name!r}",
        rule=f"{kind} of {len(value)} objects; none is removed",
        received=f"{type(found).__name__}"
        + (f" of {len(found)} objects" if isinstance(found, Sized) else ""),
        fix=f"return {kind}(...)",
    )


def _wrong_type(name: str, value: Any, expected: str, fix: str) -> UserError:
    kind = type(value).__name__
    received = f"{kind} of shape {value.shape}" if isinstance(value, np.ndarray) else kind
    what = f"the field '{name}' of the instances has the wrong type"
    return UserError(what, rule=expected, received=received, fix=fix)
