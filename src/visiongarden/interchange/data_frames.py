"""Results as a `pandas.DataFrame` with one row per object or class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError, nearest
from visiongarden.interchange.checks import Objects, as_indices, imported, indices_of
from visiongarden.interchange.optional import imported_library

_CORNERS = ("x1", "y1", "x2", "y2")


def to_frame(objects: Objects, names: Sequence[str] | None) -> Any:
    """Return a frame with the columns x1, y1, x2, y2, score, class_index and, if known, class.

    Args:
        objects: objects of one image.
        names: names of the classes, or None.

    Raises:
        UserError: pandas is not installed.
    """
    columns = {name: objects.boxes[:, i] for i, name in enumerate(_CORNERS)}
    return frame_of(columns | {"score": objects.scores}, objects.classes, names)


def frame_of(columns: dict[str, Any], classes: np.ndarray, names: Sequence[str] | None) -> Any:
    """Return a frame of columns and classes, all of the same length."""
    pandas = imported_library("pandas", "to_pandas()")
    columns = columns | {"class_index": classes}
    if names is not None:
        columns["class"] = [names[index] for index in classes.tolist()]
    return pandas.DataFrame(columns)


def from_frame(frame: Any, names: Sequence[str] | None, size: Any) -> Objects:
    """Return the objects of a frame with the columns of `to_frame`.

    Classes are matched by name if the frame has the column "class" and `names` are known, else by
    index.

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
    needed = (*_CORNERS, "score", "class" if by_name else "class_index")
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
    boxes = frame[list(_CORNERS)].to_numpy()
    return imported(
        boxes, frame["score"].to_numpy(), classes, None if names is None else len(names), size
    )
