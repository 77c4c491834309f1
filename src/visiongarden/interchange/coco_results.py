"""COCO's results: a list with one dict for each detected object of any image.

Source: https://cocodataset.org/#format-results. `category_id` is the id of the class in the
annotation file, which is not its index; `bbox` is (left, top, width, height) in pixels.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.interchange.checks import Objects, imported

_KEYS = ("image_id", "category_id", "bbox", "score")


def to_rows(objects: Objects, ids: Sequence[int], image_id: int | str) -> list[dict[str, Any]]:
    """Return the results of one image as values that `json.dump` writes.

    Args:
        objects: objects of the image.
        ids: id of each class.
        image_id: id of the image in the annotation file.

    Raises:
        UserError: the id of the image is not an integer or a text.
    """
    number = _image_id(image_id)
    # In float64, where differences of float32 coordinates are exact.
    corners = objects.boxes.astype(np.float64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
    return [
        {"image_id": number, "category_id": int(ids[index]), "bbox": box, "score": score}
        for box, score, index in zip(
            boxes, objects.scores.tolist(), objects.classes.tolist(), strict=True
        )
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
        UserError: a row is not a result, belongs to a class outside the class map, or `image_id` is
            None and the rows belong to several images.
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
    boxes = np.array([row["bbox"] for row in own], np.float64).reshape(-1, 4)
    if (boxes[:, 2:] < 0).any():
        raise UserError(
            "the width or height of a box is negative",
            rule="bbox: left, top, width, height in pixels",
            received=f"{boxes[(boxes[:, 2:] < 0).any(axis=1)][0].tolist()}",
        )
    boxes[:, 2:] += boxes[:, :2]
    classes = [index_of_id(row["category_id"]) for row in own]
    return imported(boxes, [row["score"] for row in own], classes, count, size)


def _check_list(rows: Any) -> None:
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return
    is_ground_truth = isinstance(rows, Mapping) and "annotations" in rows
    raise UserError(
        "the value is not a list of COCO results",
        rule=f"a list of dicts with {', '.join(_KEYS)}",
        received="a file of annotations, which have no scores"
        if is_ground_truth
        else f"a value of type {type(rows).__name__}",
    )


def _check_row(number: int, row: Any) -> None:
    missing = [key for key in _KEYS if not isinstance(row, Mapping) or key not in row]
    if not missing and _has_valid_types(row):
        return
    raise UserError(
        f"result {number} is not a COCO result",
        rule=f"a dict with {', '.join(_KEYS)}; bbox is (left, top, width, height), numbers",
        received=f"no {', '.join(missing)}" if missing else f"{dict(row)!r:.200}",
    )


def _has_valid_types(row: Mapping[str, Any]) -> bool:
    box, category, image = row["bbox"], row["category_id"], row["image_id"]
    return (
        isinstance(box, Sequence)
        and len(box) == 4
        and all(_is_number(value) for value in (*box, row["score"]))
        and isinstance(category, numbers.Integral)
        and isinstance(image, numbers.Integral | str)
    )


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
