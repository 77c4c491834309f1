"""Checks of boxes, scores and classes at the border to other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from visiongarden.errors import UserError, nearest


class Objects(NamedTuple):
    """Boxes, scores and classes of one image, best first.

    Attributes:
        boxes: float32 (n, 4), xyxy in pixels.
        scores: float32 (n,), 0 to 1.
        classes: int32 (n,), class indices.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def as_array(values: Any, what: str) -> np.ndarray:
    """Convert a list, an array or a tensor of any backend to an array of numbers.

    Raises:
        UserError: the values are not numbers, or not of one shape.
    """
    # A PyTorch tensor that requires a gradient or is on a GPU does not convert itself.
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16; float32 contains all its values.
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise _not_numbers(what, str(error)) from None
    if array.dtype.kind not in "biuf" and array.size:
        # A type of another library, such as bfloat16 (kind "V") or pandas's nullable integers.
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise _not_numbers(what, str(error)) from None
    return array


def _not_numbers(what: str, received: str) -> UserError:
    return UserError(
        f"{what} cannot be converted to an array",
        rule="numbers in a list, an array or a dense tensor",
        received=f"{received:.200}",
    )


def as_indices(values: Any, what: str) -> np.ndarray:
    """Convert class indices to int64; floats are accepted if they are whole numbers.

    Raises:
        UserError: an index is not a whole number.
    """
    array = as_array(values, what)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    whole = array.dtype.kind == "f" and bool(np.all(np.isfinite(array) & (array == array.round())))
    if array.size and not whole:
        raise UserError(
            f"{what} are not class indices",
            rule="integers from 0",
            received=f"values of type {array.dtype}",
        )
    return array.astype(np.int64)


def check_indices(classes: np.ndarray, count: int | None, lowest: int = 0) -> None:
    """Raise a `UserError` if a class index is not from `lowest` to `count` - 1."""
    outside = classes < lowest
    if count is not None:
        outside = outside | (classes >= count)
    if outside.any():
        number = int(classes[outside][0])
        off_by_one = (
            "class indices start at 0: subtract 1"
            if count is not None and number == count
            else None
        )
        raise UserError(
            f"class index {number} is outside the class map",
            rule="an integer from 0" + ("" if count is None else f" to {count - 1}"),
            received=f"{int(outside.sum())} of {classes.size} objects",
            fix=off_by_one,
        )


def checked(boxes: Any, scores: Any, classes: Any, count: int | None) -> Objects:
    """Check the objects of one image, and return them in the same order.

    Args:
        boxes: boxes (n, 4), xyxy in pixels.
        scores: scores (n,), 0 to 1.
        classes: class indices (n,).
        count: number of classes, or None if it is unknown.

    Raises:
        UserError: a shape is wrong, a value is not finite, a score is not from 0 to 1, or a class
            is outside the class map.
    """
    corners, values = as_array(boxes, "the boxes"), as_array(scores, "the scores")
    indices = as_indices(classes, "the classes")
    if corners.size == 0 and values.size == 0 and indices.size == 0:
        corners, values, indices = corners.reshape(0, 4), values.reshape(0), indices.reshape(0)
    shapes = (corners.shape, values.shape, indices.shape)
    n = len(corners) if corners.ndim else 0
    if shapes != ((n, 4), (n,), (n,)):
        raise UserError(
            "the boxes, scores and classes of an image have wrong shapes",
            rule="boxes (n, 4), scores (n,) and classes (n,)",
            received=", ".join(map(str, shapes)),
        )
    if not np.isfinite(corners).all():
        raise UserError("a box is not finite", received=f"{_first(corners, ~np.isfinite(corners))}")
    invalid = ~((values >= 0) & (values <= 1))
    if invalid.any():
        raise UserError(
            "a score is not valid",
            rule="a number from 0 to 1",
            received=f"{values[invalid][0]}",
        )
    check_indices(indices, count)
    return Objects(corners.astype(np.float32), values.astype(np.float32), indices.astype(np.int32))


def imported(
    boxes: Any, scores: Any, classes: Any, count: int | None, size: tuple[int, int] | None = None
) -> Objects:
    """Check objects from another library as `checked` does, and sort them by descending score.

    Args:
        boxes: boxes (n, 4), xyxy in pixels.
        scores: scores (n,), 0 to 1.
        classes: class indices (n,).
        count: number of classes, or None if it is unknown.
        size: (height, width) of the image, if it is known.

    Raises:
        UserError: as in `checked`; or the boxes are not xyxy, or are fractions of the image.
    """
    found = checked(boxes, scores, classes, count)
    corners = found.boxes
    swapped = (corners[:, 2:] < corners[:, :2]).any(axis=1)
    if swapped.any():
        raise UserError(
            "a box has its corners in the wrong order",
            rule="xyxy: left, top, right, bottom in pixels",
            received=f"{corners[swapped][0].tolist()}",
            fix='convert the boxes first: vg.interchange.convert_boxes(boxes, "xywh", "xyxy")',
        )
    if 0 < corners.max(initial=0) <= 1 and (size is None or max(size) > 1):
        raise UserError(
            "the boxes are fractions of the image",
            rule="xyxy in pixels",
            received=f"no coordinate above {corners.max():g}",
            fix="convert the boxes first: vg.interchange.convert_boxes(boxes, "
            f'"rel_xyxy", "xyxy", image_size={size or (480, 640)})',
        )
    # Stable, so that equal scores keep their order.
    order = np.argsort(-found.scores, kind="stable")
    return Objects(*(values[order] for values in found))


def indices_of(given: Sequence[Any], names: Sequence[str]) -> list[int]:
    """Return the class index of each name.

    Raises:
        UserError: no class has this name.
    """
    by_name = {name: index for index, name in enumerate(names)}
    unknown = [str(name) for name in given if str(name) not in by_name]
    if unknown:
        raise UserError(f"unknown class {unknown[0]!r}", fix=nearest(unknown[0], names))
    return [by_name[str(name)] for name in given]


def _first(corners: np.ndarray, where: np.ndarray) -> list[float]:
    row: list[float] = corners[where.any(axis=-1)][0].tolist()
    return row
