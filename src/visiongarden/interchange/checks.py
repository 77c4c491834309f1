"""Checks of boxes, scores and classes at the border to other libraries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from visiongarden.errors import UserError, nearest


class Objects(NamedTuple):
    """The objects of one image, on their way from or to another library.

    Attributes:
        boxes: float32 (n, 4), xyxy in pixels, or None.
        scores: float32 (n,), 0 to 1, or None.
        classes: int32 (n,), class indices, or None.
        rotated: float32 (n, 5), rotated boxes: center, size and angle; or None.
        corners: float32 (n, 4, 2), corners of the rotated boxes, or None.
        masks: masks as the other library has them, or `samples.Masks` on the way there; or None.
        keypoints: float32 (n, k, 3), or None.
        columns: further arrays (n, ...) by name.
    """

    boxes: np.ndarray | None
    scores: np.ndarray | None
    classes: np.ndarray | None
    rotated: np.ndarray | None = None
    corners: np.ndarray | None = None
    masks: Any = None
    keypoints: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = MappingProxyType({})


def refuse_lost(objects: Objects, held: Collection[str], target: str) -> None:
    """Raise a `UserError` for what another format cannot hold.

    Args:
        objects: objects to convert.
        held: which of "rotated", "masks", "keypoints" and "columns" the format holds.
        target: name of the format.

    Raises:
        UserError: the objects have something else.
    """
    fixes = {
        "rotated": (
            "the rotation of the boxes",
            "corners = instances.boxes.corners(); instances = instances.replace(boxes="
            "vg.samples.Boxes(np.concatenate([corners.min(1), corners.max(1)], 1)))",
        ),
        "masks": ("the masks", "instances = instances.replace(masks=None)"),
        "keypoints": ("the keypoints", "instances = instances.replace(keypoints=None)"),
    }
    values = objects._asdict()
    for name, (what, fix) in fixes.items():
        if name not in held and values[name] is not None:
            raise UserError(f"{what} would be lost", rule=f"what {target} hold", fix=fix)
    # Where no object is a crowd, nothing is lost.
    lost = [n for n, array in objects.columns.items() if n != "crowd" or array.any()]
    if "columns" not in held and lost:
        name = lost[0]
        alone = f"{name}=None" if name in ("crowd", "area") else "data=None"
        raise UserError(
            f"the column {name!r} would be lost",
            rule=f"what {target} hold",
            fix=f"instances = instances.replace({alone})",
        )


def require(value: np.ndarray | None, name: str, target: str, fix: str) -> np.ndarray:
    """Return an array of the objects that another format needs.

    Raises:
        UserError: it is None.
    """
    if value is None:
        raise UserError(f"the instances have no {name}", rule=f"{target} have {name}", fix=fix)
    return value


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


def check_scores(scores: np.ndarray) -> None:
    """Raise a `UserError` if a score is not from 0 to 1."""
    invalid = ~((scores >= 0) & (scores <= 1))
    if invalid.any():
        raise UserError(
            "a score is not valid",
            rule="a number from 0 to 1",
            received=f"{scores[invalid][0]}",
        )


def imported(
    boxes: Any, scores: Any, classes: Any, count: int | None, size: tuple[int, int] | None = None
) -> Objects:
    """Check the objects of one image from another library; the order is kept.

    Args:
        boxes: boxes (n, 4), xyxy in pixels; None if the objects have no boxes.
        scores: scores (n,), 0 to 1.
        classes: class indices (n,).
        count: number of classes, or None if it is unknown.
        size: (height, width) of the image, if it is known.

    Raises:
        UserError: a shape is wrong, a value is not finite, a score is not from 0 to 1, a class is
            outside the class map, or the boxes are not xyxy or are fractions of the image.
    """
    values, indices = as_array(scores, "the scores"), as_indices(classes, "the classes")
    corners = None if boxes is None else as_array(boxes, "the boxes")
    if not sum(array.size for array in (values, indices, corners) if array is not None):
        values, indices = values.reshape(0), indices.reshape(0)
        corners = None if corners is None else corners.reshape(0, 4)
    n = len(values) if values.ndim else 0
    shapes = [array.shape for array in (corners, values, indices) if array is not None]
    expected = ([(n, 4)] if corners is not None else []) + [(n,), (n,)]
    if shapes != expected:
        raise UserError(
            "the boxes, scores and classes of an image have wrong shapes",
            rule="boxes (n, 4), scores (n,) and classes (n,)",
            received=", ".join(map(str, shapes)),
        )
    if corners is not None:
        _check_boxes(corners, size)
        corners = corners.astype(np.float32)
    check_scores(values)
    check_indices(indices, count)
    return Objects(corners, values.astype(np.float32), indices.astype(np.int32))


def _check_boxes(corners: np.ndarray, size: tuple[int, int] | None) -> None:
    if not np.isfinite(corners).all():
        raise UserError("a box is not finite", received=f"{_first(corners, ~np.isfinite(corners))}")
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
