"""Results as a `pandas.DataFrame` with one row per object or class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError, nearest
from visiongarden.interchange.checks import (
    Objects,
    as_indices,
    imported,
    indices_of,
    refuse_lost,
)
from visiongarden.interchange.optional import imported_library

_CORNERS = ("x1", "y1", "x2", "y2")
_MASKS = "segmentation"
_ROTATED = ("center_x", "center_y", "width", "height", "angle")


def to_frame(objects: Objects, names: Sequence[str] | None) -> Any:
    """Return a frame with the columns x1, y1, x2, y2, score, class_index and, if known, class.

    Rotated boxes have the columns center_x, center_y, width, height and angle (degrees), masks the
    column segmentation: polygons or run lengths as in COCO. Further arrays (n,) are columns too;
    what the objects do not have, the frame does not have.

    Args:
        objects: objects of one image.
        names: names of the classes, or None.

    Raises:
        UserError: pandas is not installed, a name of a column is a duplicate, or the objects have
            keypoints or arrays of more axes, which would be lost.
    """
    refuse_lost(objects, ("rotated", "masks", "columns"), "the columns of a data frame")
    names_and_boxes = [(_CORNERS, objects.boxes), (_ROTATED, objects.rotated)]
    columns: dict[str, Any] = {
        name: array[:, i]
        for names, array in names_and_boxes
        if array is not None
        for i, name in enumerate(names)
    }
    if objects.scores is not None:
        columns["score"] = objects.scores
    if objects.masks is not None:
        columns[_MASKS] = objects.masks.to_coco()
    for name, array in objects.columns.items():
        if array.ndim > 1 or name in (*columns, "class_index", "class"):
            raise UserError(
                f"the column {name!r} cannot be stored in a data frame",
                rule="an array (n,) with a name that the frame does not use itself",
                received=f"an array of shape {array.shape}",
                fix="instances = instances.replace(data=None)",
            )
    return frame_of(columns | dict(objects.columns), objects.classes, names)


def frame_of(
    columns: dict[str, Any], classes: np.ndarray | None, names: Sequence[str] | None
) -> Any:
    """Return a frame of columns and, if they are known, classes, all of the same length."""
    pandas = imported_library("pandas", "to_pandas()")
    if classes is None:
        return pandas.DataFrame(columns)
    columns = columns | {"class_index": classes}
    if names is not None:
        columns["class"] = [names[index] for index in classes.tolist()]
    return pandas.DataFrame(columns)


def from_frame(frame: Any, names: Sequence[str] | None, size: Any) -> Objects:
    """Return the objects of a frame with the columns of `to_frame`.

    Classes are matched by name if the frame has the column "class" and `names` are known, else by
    index. Columns with other names are kept.

    Args:
        frame: a `pandas.DataFrame`.
        names: names of the classes, or None.
        size: (height, width) of the image, if it is known.

    Raises:
        UserError: a column is missing, a value is missing, or a class is outside the class map.
    """
    # Any table of pandas' interface, without importing pandas.
    if not hasattr(frame, "columns"):
        raise UserError(
            f"a value of type {type(frame).__name__} is not a data frame",
            rule=f"the columns {', '.join(_CORNERS)}, score, class_index or class",
        )
    columns = [str(name) for name in frame.columns]
    by_name = names is not None and "class" in columns
    own = _ROTATED if _CORNERS[0] not in columns and _ROTATED[-1] in columns else _CORNERS
    needed = (*own, "score", "class" if by_name else "class_index")
    for name in needed:
        if name not in columns:
            raise UserError(
                f"the frame has no column {name!r}",
                rule=f"the columns {', '.join(needed)}",
                received=", ".join(columns),
                fix=nearest(name, columns),
            )
    missing = [name for name in needed if bool(frame[name].isna().any())]
    if missing:
        raise UserError(f"the column {missing[0]!r} has missing values", rule="a value in each row")
    if by_name and names is not None:
        classes = as_indices(indices_of(list(frame["class"]), names), "the classes")
    else:
        classes = as_indices(frame["class_index"].to_numpy(), "the column 'class_index'")
    boxes = frame[list(own)].to_numpy()
    objects = imported(
        boxes if own is _CORNERS else None,
        frame["score"].to_numpy(),
        classes,
        None if names is None else len(names),
        size,
    )
    others = {
        str(name): _column(frame[name])
        for name in frame.columns
        if str(name) not in (*needed, "class", "class_index", _MASKS)
    }
    masks = list(frame[_MASKS]) if _MASKS in columns else None
    rotated = None if own is _CORNERS else boxes
    return objects._replace(rotated=rotated, masks=masks, columns=others)


def _column(values: Any) -> np.ndarray:
    array = np.asarray(values.to_numpy())
    is_text = array.dtype.kind == "O" and all(isinstance(value, str) for value in array)
    return array.astype(str) if is_text else array
