"""`supervision.Detections`, whose annotators, trackers and zones take results of any detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.interchange.checks import (
    Objects,
    as_indices,
    imported,
    indices_of,
    refuse_lost,
    require,
)
from visiongarden.interchange.optional import imported_library

NAMES = "class_name"
"""Key of the class names in `Detections.data`, which supervision's annotators show."""

_ROTATED = "xyxyxyxy"
"""Key of the corners of rotated boxes in `Detections.data`."""

_TRACKERS = "tracker_id"
"""Attribute with the number of each object's track, and the column that holds it."""


def to_detections(objects: Objects, names: Sequence[str] | None) -> Any:
    """Return a `supervision.Detections`; its `data` has the corners of rotated boxes.

    Without boxes, those around the masks are used. A column "tracker_id" becomes the attribute.

    Args:
        objects: objects of one image.
        names: names of the classes, or None.

    Raises:
        UserError: supervision is not installed, the objects have neither boxes nor masks, or have
            keypoints, which would be lost.
    """
    supervision = imported_library("supervision", "to_supervision()")
    target = "supervision.Detections"
    refuse_lost(objects, ("rotated", "masks", "columns"), target)
    data = {name: array.copy() for name, array in objects.columns.items()}
    trackers = data.pop(_TRACKERS, None)
    for name in (NAMES, _ROTATED):
        if name in data:
            raise UserError(
                f"the column {name!r} cannot be stored in {target}",
                rule="another name; supervision uses this one itself",
                fix=f"instances.replace(data={{'my_{name}': instances.data[{name!r}]}})",
            )
    boxes, classes = objects.boxes, objects.classes
    if objects.corners is not None:
        data[_ROTATED] = objects.corners
        boxes = np.concatenate([objects.corners.min(axis=1), objects.corners.max(axis=1)], axis=1)
    elif boxes is None and objects.masks is not None:
        boxes = objects.masks.boxes()
    if names is not None and classes is not None:
        data[NAMES] = np.array(names, dtype=str)[classes]
    return supervision.Detections(
        xyxy=require(boxes, "boxes", target, "instances.replace(boxes=boxes)").copy(),
        mask=None if objects.masks is None else objects.masks.bitmaps(),
        confidence=None if objects.scores is None else objects.scores.copy(),
        class_id=None if classes is None else classes.astype(np.int64),
        tracker_id=trackers,
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
        UserError: the value is not a `supervision.Detections`, has no scores or classes, has
            metadata, which would be lost, or has a class outside the class map.
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
    if _value(found, "metadata"):
        raise UserError(
            "metadata of the detections would be lost",
            rule="values for each object only",
            fix="detections.metadata = {}",
        )
    empty = np.zeros(0)
    classes = empty if found.class_id is None else found.class_id
    data = dict(_value(found, "data") or {})
    given, corners = data.pop(NAMES, None), data.pop(_ROTATED, None)
    if names is not None and given is not None and len(given):
        classes = as_indices(indices_of(list(given), names), "the classes")
    scores = empty if found.confidence is None else found.confidence
    objects = imported(found.xyxy, scores, classes, None if names is None else len(names), size)
    if _value(found, _TRACKERS) is not None:
        data[_TRACKERS] = found.tracker_id
    columns = {str(name): np.asarray(values) for name, values in data.items()}
    masks = None if _value(found, "mask") is None else np.asarray(found.mask)
    return objects._replace(corners=corners, masks=masks, columns=columns)


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
