"""COCO's results: a list with one dict for each detected object of any image.

Source: https://cocodataset.org/#format-results. `category_id` is the id of the class in the
annotation file, which is not its index; `bbox` is (left, top, width, height) in pixels.
`segmentation` is a run-length encoding, `keypoints` a flat list x, y, visibility, ….
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.interchange.checks import Objects, imported, refuse_lost, require

_KEYS = ("image_id", "category_id", "score")
_SHAPES = ("bbox", "segmentation", "keypoints")
"""Keys of which a result has at least one."""
_SCORES = "instances = instances.replace(scores=np.ones(len(instances)))"


def to_rows(objects: Objects, ids: Sequence[int], image_id: int | str) -> list[dict[str, Any]]:
    """Return the results of one image as values that `json.dump` writes.

    Args:
        objects: objects of the image.
        ids: id of each class.
        image_id: id of the image in the annotation file.

    Raises:
        UserError: the id of the image is not an integer or a text, scores or classes are missing,
            or the objects have what COCO's results cannot hold.
    """
    number, target = _image_id(image_id), "COCO's results"
    refuse_lost(objects, ("masks", "keypoints"), target)
    scores = require(objects.scores, "scores", target, _SCORES)
    classes = require(objects.classes, "classes", target, "instances.replace(classes=classes)")
    shapes: dict[str, list[Any]] = {}
    if objects.boxes is not None:
        # In float64, where differences of float32 coordinates are exact.
        corners = objects.boxes.astype(np.float64)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        shapes["bbox"] = boxes.tolist()
    if objects.masks is not None:
        shapes["segmentation"] = objects.masks.rle()
    if objects.keypoints is not None:
        shapes["keypoints"] = objects.keypoints.reshape(len(scores), -1).tolist()
    if not shapes:
        require(None, "boxes", target, "instances.replace(boxes=boxes)")
    rows = zip(scores.tolist(), classes.tolist(), strict=True)
    return [
        {"image_id": number, "category_id": int(ids[index])}
        | {name: values[row] for name, values in shapes.items()}
        | {"score": score}
        for row, (score, index) in enumerate(rows)
    ]


def from_rows(
    rows: Any, index_of_id: Any, count: int, image_id: int | str | None, size: Any
) -> Objects:
    """Return the objects of one image from COCO's results.

    Args:
        rows: list of results, as `json.load` returns it.
        index_of_id: function from the id of a class to its index.
        count: number of classes.
        image_id: id of the image; None if all rows belong to one image.
        size: (height, width) of the image, if it is known.

    Raises:
        UserError: a row is not a result, belongs to a class outside the class map, some rows lack
            what others have, or `image_id` is None and the rows belong to several images.
    """
    _check_list(rows)
    for number, row in enumerate(rows):
        _check_row(number, row)
    images = {row["image_id"] for row in rows}
    if image_id is None and len(images) > 1:
        raise UserError(
            f"the results belong to {len(images)} images",
            rule="the results of one image, or its id",
            fix=f"image_id={min(images, key=str)!r}",
        )
    own = [row for row in rows if image_id is None or row["image_id"] == _image_id(image_id)]
    present = [name for name in _SHAPES if _in_all(own, name)]
    boxes = _corners([row["bbox"] for row in own]) if "bbox" in present or not own else None
    classes = [index_of_id(row["category_id"]) for row in own]
    objects = imported(boxes, [row["score"] for row in own], classes, count, size)
    return objects._replace(
        masks=[row["segmentation"] for row in own] if "segmentation" in present else None,
        keypoints=_keypoints(own) if "keypoints" in present else None,
    )


def _in_all(rows: list[Any], name: str) -> bool:
    with_it = sum(name in row for row in rows)
    if with_it not in (0, len(rows)):
        raise UserError(
            f"some of the results have no {name}",
            rule="the same keys in all results of an image",
            received=f"{name} in {with_it} of {len(rows)} results",
            fix=f"convert the results with and without {name} separately",
        )
    return with_it > 0


def _corners(given: list[Any]) -> np.ndarray:
    boxes = np.array(given, np.float64).reshape(-1, 4)
    if (boxes[:, 2:] < 0).any():
        raise UserError(
            "the width or height of a box is negative",
            rule="bbox: left, top, width, height in pixels",
            received=f"{boxes[(boxes[:, 2:] < 0).any(axis=1)][0].tolist()}",
        )
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _keypoints(rows: list[Any]) -> np.ndarray:
    counts = sorted({len(row["keypoints"]) for row in rows})
    if len(counts) > 1 or counts[0] % 3 or not counts[0]:
        raise UserError(
            "the keypoints of the results are not valid",
            rule="x, y and visibility of each point; the same number of points in each result",
            received=f"lists of {' and '.join(map(str, counts))} numbers",
        )
    return np.array([row["keypoints"] for row in rows], np.float64).reshape(len(rows), -1, 3)


def _check_list(rows: Any) -> None:
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return
    is_ground_truth = isinstance(rows, Mapping) and "annotations" in rows
    raise UserError(
        "the value is not a list of COCO results",
        rule=f"a list of dicts with {', '.join(_KEYS)} and bbox",
        received="a file of annotations, which have no scores"
        if is_ground_truth
        else f"a value of type {type(rows).__name__}",
    )


def _check_row(number: int, row: Any) -> None:
    missing = [key for key in _KEYS if not isinstance(row, Mapping) or key not in row]
    if not missing and not any(key in row for key in _SHAPES):
        missing = ["bbox"]
    if not missing and _has_valid_types(row):
        return
    raise UserError(
        f"result {number} is not a COCO result",
        rule=f"a dict with {', '.join(_KEYS)} and bbox (left, top, width, height), segmentation "
        "or keypoints",
        received=f"no {', '.join(missing)}" if missing else f"{dict(row)!r:.200}",
    )


def _has_valid_types(row: Mapping[str, Any]) -> bool:
    category, image = row["category_id"], row["image_id"]
    return (
        _is_numbers(row.get("bbox", (0,) * 4))
        and len(row.get("bbox", (0,) * 4)) == 4
        and _is_numbers(row.get("keypoints", ()))
        and _is_number(row["score"])
        and isinstance(category, numbers.Integral)
        and isinstance(image, numbers.Integral | str)
    )


def _is_numbers(values: Any) -> bool:
    is_list = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    return is_list and all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _image_id(image_id: Any) -> int | str:
    if isinstance(image_id, str):
        return image_id
    if isinstance(image_id, numbers.Integral) and not isinstance(image_id, bool):
        return int(image_id)  # NumPy's integers cannot be written as JSON.
    raise UserError(
        "the id of the image is not valid",
        rule="the integer or text in the annotation file",
        received=f"{image_id!r:.80}",
    )
