"""Keras's dicts of boxes: `{"boxes", "labels"}`, and `"confidences"` for predictions.

Keras's preprocessing layers and `keras.visualization` exchange them. A label of -1 pads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.interchange.box_formats import convert_boxes
from visiongarden.interchange.checks import as_array, as_indices, check_indices

PADDING = -1
"""Label of a row without an object."""

SCORES = ("confidences", "confidence", "scores")
"""Keys of scores: that of `keras.visualization`, and those of other detectors."""


def to_keras(
    boxes: Any,
    classes: Any,
    box_format: str = "xyxy",
    image_size: tuple[int, int] | None = None,
    scores: Any = None,
) -> dict[str, np.ndarray]:
    """Return boxes and classes as Keras's preprocessing layers take them.

    Args:
        boxes: boxes (n, 4) of one image or (batch, n, 4), xyxy in pixels.
        classes: class indices (n,) or (batch, n); -1 pads.
        box_format: format of the result, one of `BOX_FORMATS`.
        image_size: (height, width) in pixels, for formats that start with `rel_`.
        scores: scores of the shape of `classes`, or None.

    Returns:
        "boxes" float32 in the format, zeros where padded; "labels" int32, -1 where padded; and
        "confidences" float32 if there are scores.

    Raises:
        UserError: a shape is wrong, a class is below -1, the format is unknown, or the image size
            is missing.

    Example:
        >>> found = to_keras([[0, 10, 20, 40]], [2], "rel_yxyx", image_size=(40, 40))
        >>> found["boxes"].tolist(), found["labels"].tolist()
        ([[0.25, 0.0, 1.0, 0.5]], [2])
    """
    corners, labels = _arrays(boxes, classes, "classes", None)
    found = {"boxes": convert_boxes(corners, "xyxy", box_format, image_size), "labels": labels}
    found["boxes"][labels == PADDING] = 0
    if scores is not None:
        found["confidences"] = _scores(scores, labels)
    return found


def from_keras(
    bounding_boxes: Any,
    box_format: str,
    image_size: tuple[int, int] | None = None,
    num_classes: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the boxes, classes and scores of Keras's dict, as our losses and results take them.

    Args:
        bounding_boxes: dict with "boxes" (n, 4) or (batch, n, 4) and "labels" (n,) or (batch, n);
            a label of -1 pads. Scores are read from "confidences", "confidence" or "scores".
        box_format: format of the boxes, one of `BOX_FORMATS`.
        image_size: (height, width) in pixels, for formats that start with `rel_`.
        num_classes: number of classes; labels must be lower.

    Returns:
        Boxes float32, xyxy in pixels, zeros where padded; classes int32, -1 where padded; and
        scores float32, or None if there are no scores.

    Raises:
        UserError: a key is missing, a shape is wrong, a label is outside the class map, the format
            is unknown, or the image size is missing.
    """
    if not isinstance(bounding_boxes, Mapping) or not {"boxes", "labels"} <= set(bounding_boxes):
        keys = list(bounding_boxes) if isinstance(bounding_boxes, Mapping) else bounding_boxes
        raise UserError(
            "the value is not a dict of Keras's bounding boxes",
            rule='a dict with "boxes" and "labels"',
            received=f"{keys!r:.200}",
        )
    values, labels = _arrays(
        bounding_boxes["boxes"], bounding_boxes["labels"], "labels", num_classes
    )
    # Padding may have any coordinates, for example -1 or NaN, and must not fail a check.
    padded = labels == PADDING
    values = np.where(padded[..., None], 0, values)
    boxes = convert_boxes(values, box_format, "xyxy", image_size)
    boxes[padded] = 0
    key = next((key for key in SCORES if bounding_boxes.get(key) is not None), None)
    return boxes, labels, None if key is None else _scores(bounding_boxes[key], labels)


def padded_to(found: dict[str, np.ndarray], capacity: int) -> dict[str, np.ndarray]:
    """Pad the dict of one image to a fixed number of rows.

    Args:
        found: result of `to_keras` for one image.
        capacity: number of rows.

    Raises:
        UserError: the image has more objects than rows.
    """
    missing = capacity - len(found["labels"])
    if missing < 0:
        raise UserError(
            f"the image has {len(found['labels'])} objects",
            rule=f"at most {capacity}, the capacity",
            fix=f"capacity={len(found['labels'])}",
        )
    fill = {"boxes": 0, "labels": PADDING, "confidences": 0}
    return {
        key: np.pad(
            values, [(0, missing)] + [(0, 0)] * (values.ndim - 1), constant_values=fill[key]
        )
        for key, values in found.items()
    }


def _arrays(
    boxes: Any, classes: Any, what: str, count: int | None
) -> tuple[np.ndarray, np.ndarray]:
    values, labels = as_array(boxes, "the boxes"), as_indices(classes, f"the {what}")
    if values.ndim not in (2, 3) or values.shape[-1] != 4 or values.shape[:-1] != labels.shape:
        raise UserError(
            f"boxes and {what} have wrong shapes",
            rule=f"boxes (n, 4) and {what} (n,), or boxes (batch, n, 4) and {what} (batch, n)",
            received=f"{values.shape} and {labels.shape}",
        )
    check_indices(labels, count, lowest=PADDING)
    return values, labels.astype(np.int32)


def _scores(scores: Any, labels: np.ndarray) -> np.ndarray:
    values = as_array(scores, "the scores")
    if values.shape != labels.shape:
        raise UserError(
            "the scores have a wrong shape",
            rule=f"that of the labels, {labels.shape}",
            received=f"{values.shape}",
        )
    found: np.ndarray = np.where(labels == PADDING, 0, values).astype(np.float32)
    return found
