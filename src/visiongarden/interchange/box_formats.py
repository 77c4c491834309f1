"""Box formats by the names of `keras.utils.bounding_boxes.convert_format`."""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.errors import UserError, nearest
from visiongarden.interchange.checks import as_array

BOX_FORMATS = (
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
)
"""Names of the formats: corners, or corner or center with size; x or y first.

Coordinates are pixels; with `rel_` they are fractions of the image's width and height.
"""

_RELATIVE = "rel_"
_MAX_FRACTION = 2.0
"""Largest coordinate that is taken as a fraction of the image; a box may extend beyond it."""


def convert_boxes(
    boxes: Any, source: str, target: str, image_size: tuple[int, int] | None = None
) -> np.ndarray:
    """Convert boxes from one format to another.

    Args:
        boxes: boxes (..., 4) in the format `source`.
        source: name of a format, one of `BOX_FORMATS`, in upper or lower case.
        target: name of the format to convert to.
        image_size: (height, width) in pixels; needed between pixels and fractions.

    Returns:
        float32 boxes of the same shape.

    Raises:
        UserError: a format is unknown, the shape is wrong, the image size is missing, or pixels are
            given in place of fractions.

    Example:
        >>> convert_boxes([[10, 20, 30, 60]], "xyxy", "center_xywh").tolist()
        [[20.0, 40.0, 20.0, 40.0]]
    """
    source, target = box_format(source), box_format(target)
    values = as_array(boxes, "the boxes").astype(np.float64)
    if values.ndim < 1 or values.shape[-1] != 4:
        raise UserError(
            "the boxes have a wrong shape",
            rule="(..., 4)",
            received=f"{values.shape}",
        )
    if source == target:
        return values.astype(np.float32)
    if source.startswith(_RELATIVE):
        _check_fractions(values, source)
    corners = _to_corners(values, source.removeprefix(_RELATIVE))
    if source.startswith(_RELATIVE) != target.startswith(_RELATIVE):
        height, width = _checked_size(image_size, source, target)
        whole = np.array([width, height, width, height], np.float64)
        corners = corners * whole if source.startswith(_RELATIVE) else corners / whole
    return _from_corners(corners, target.removeprefix(_RELATIVE)).astype(np.float32)


def box_format(name: str) -> str:
    """Return the name of a format in lower case.

    Raises:
        UserError: the name is unknown.
    """
    found = name.lower() if isinstance(name, str) else ""
    if found not in BOX_FORMATS:
        raise UserError(f"unknown box format {name!r}", fix=nearest(found, BOX_FORMATS))
    return found


def _to_corners(values: np.ndarray, name: str) -> np.ndarray:
    if name in ("yxyx", "center_yxhw"):
        values = values[..., [1, 0, 3, 2]]
    if name in ("xyxy", "yxyx"):
        return values
    first, extent = values[..., :2], values[..., 2:]
    if name != "xywh":
        first = first - extent / 2
    return np.concatenate([first, first + extent], axis=-1)


def _from_corners(corners: np.ndarray, name: str) -> np.ndarray:
    first, last = corners[..., :2], corners[..., 2:]
    if name == "xywh":
        return np.concatenate([first, last - first], axis=-1)
    if name.startswith("center"):
        corners = np.concatenate([(first + last) / 2, last - first], axis=-1)
    return corners[..., [1, 0, 3, 2]] if name in ("yxyx", "center_yxhw") else corners


def _check_fractions(values: np.ndarray, name: str) -> None:
    largest = float(np.abs(values).max(initial=0))
    if largest > _MAX_FRACTION:
        pixels = name.removeprefix(_RELATIVE)
        raise UserError(
            f"the boxes are not in the format {name!r}",
            rule="fractions of the image's width and height, from 0 to 1",
            received=f"a coordinate of {largest:g}",
            fix=f"name the format of pixels: {pixels!r}",
        )


def _checked_size(size: Any, source: str, target: str) -> tuple[float, float]:
    if size is None:
        raise UserError(
            f"the image size is missing; {source!r} cannot be converted to {target!r} without it",
            rule="(height, width) in pixels",
            fix="image_size=(480, 640)",
        )
    sides = tuple(size)
    if len(sides) != 2 or not all(np.isfinite(side) and side > 0 for side in sides):
        raise UserError(
            "the image size is not valid",
            rule="(height, width) in pixels, both positive",
            received=f"{size!r:.80}",
        )
    return float(sides[0]), float(sides[1])
