"""`supervision.Detections`, whose annotators, trackers and zones take results of any detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.interchange.checks import Objects, as_indices, imported, indices_of
from visiongarden.interchange.optional import imported_library

NAMES = "class_name"
"""Key of the class names in `Detections.data`, which supervision's annotators show."""

_ROTATED = "xyxyxyxy"
"""Key of the corners of rotated boxes in `Detections.data`."""


def to_detections(objects: Objects, names: Sequence[str] | None) -> Any:
    """Return a `supervision.Detections`.

    Args:
        objects: objects of one image.
        names: names of the classes, or None.

    Raises:
        UserError: supervision is not installed.
    """
    supervision = imported_library("supervision", "to_supervision()")
    data = {} if names is None else {NAMES: np.array(names, dtype=str)[objects.classes]}
    return supervision.Detections(
        xyxy=objects.boxes.copy(),
        confidence=objects.scores.copy(),
        class_id=objects.classes.astype(np.int64),
        data=data,
    )


def to_classifications(scores: np.ndarray, classes: np.ndarray) -> Any:
    """Return a `supervision.Classifications`.

    Args:
        scores: float32 (n,), 0 to 1.
        classes: int32 (n,), class indices.

    Raises:
        UserError: supervision is not installed.
    """
    supervision = imported_library("supervision", "to_supervision()")
    return supervision.Classifications(class_id=classes.astype(np.int64), confidence=scores.copy())


def to_masks(classes: np.ndarray, scores: np.ndarray, names: Sequence[str] | None) -> Any:
    """Return a `supervision.Detections` with one mask for each class that occurs.

    Args:
        classes: (height, width), class index of each pixel.
        scores: (height, width), score of each pixel; the score of a mask is their mean.
        names: names of the classes, or None.

    Raises:
        UserError: supervision is not installed.
    """
    supervision = imported_library("supervision", "to_supervision()")
    indices = np.unique(classes)
    masks = classes == indices[:, None, None]
    return supervision.Detections(
        xyxy=supervision.mask_to_xyxy(masks).astype(np.float32),
        mask=masks,
        confidence=np.array([scores[mask].mean() for mask in masks], np.float32),
        class_id=indices.astype(np.int64),
        data={} if names is None else {NAMES: np.array(names, dtype=str)[indices]},
    )


def from_detections(found: Any, names: Sequence[str] | None, size: Any) -> Objects:
    """Return the objects of a `supervision.Detections`.

    Classes are matched by name if the detections have class names and `names` are known, else by
    index.

    Args:
        found: a `supervision.Detections`.
        names: names of the classes, or None.
        size: (height, width) of the image, if it is known.

    Raises:
        UserError: the value is not a `supervision.Detections`, has no scores or classes, has masks,
            rotated boxes or tracks, which would be lost, or has a class outside the class map.
    """
    # Recognized by its attributes, without importing supervision.
    for attribute in ("xyxy", "confidence", "class_id"):
        if not hasattr(found, attribute):
            raise UserError(
                f"a value of type {type(found).__name__} is not a supervision.Detections",
                rule="an object with xyxy, confidence and class_id",
            )
    if len(found.xyxy):
        _check_complete(found)
    _check_lossless(found)
    empty = np.zeros(0)
    classes = empty if found.class_id is None else found.class_id
    given = (_value(found, "data") or {}).get(NAMES)
    if names is not None and given is not None and len(given):
        classes = as_indices(indices_of(list(given), names), "the classes")
    scores = empty if found.confidence is None else found.confidence
    return imported(found.xyxy, scores, classes, None if names is None else len(names), size)


def _value(found: Any, name: str) -> Any:
    # Versions of supervision differ in the optional attributes.
    return getattr(found, name, None)


def _check_complete(found: Any) -> None:
    if found.confidence is None:
        raise UserError(
            "the detections have no scores",
            rule="confidence of shape (n,)",
            fix="detections.confidence = np.ones(len(detections), np.float32)",
        )
    if found.class_id is None:
        raise UserError(
            "the detections have no classes",
            rule="class_id of shape (n,)",
            fix="detections.class_id = np.zeros(len(detections), int)",
        )


def _check_lossless(found: Any) -> None:
    lost = [name for name in ("mask", "tracker_id") if _value(found, name) is not None]
    if lost:
        raise UserError(
            f"{lost[0]} of the detections would be lost",
            rule="boxes, scores and classes only",
            fix=f"detections.{lost[0]} = None",
        )
    if _ROTATED in (_value(found, "data") or {}):
        raise UserError(
            "the rotation of the boxes would be lost",
            rule="boxes parallel to the axes",
            fix=f'detections.data.pop("{_ROTATED}")',
        )
