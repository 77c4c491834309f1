"""The contents of `Instances` as plain arrays and as JSON, for other libraries and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.interchange.checks import Objects, check_scores
from visiongarden.samples.boxes import Boxes
from visiongarden.samples.keypoints import Keypoints
from visiongarden.samples.mask_field import Masks
from visiongarden.samples.rotated_boxes import RotatedBoxes
from visiongarden.types import ImageSize


def objects_of(columns: Mapping[str, Any], data: Mapping[str, Any]) -> Objects:
    """Return the fields of instances as arrays.

    Args:
        columns: the fields by the names of the constructor of `Instances`.
        data: further columns.

    Raises:
        UserError: a score is not from 0 to 1, or a field belongs to a custom class, which no other
            library knows.
    """
    boxes, masks, keypoints = (columns[name] for name in ("boxes", "masks", "keypoints"))
    if columns["scores"] is not None:
        check_scores(columns["scores"])
    for name, value, known in (("masks", masks, Masks), ("keypoints", keypoints, Keypoints)):
        if value is not None and not isinstance(value, known):
            raise _custom(name, value, f"{name}=None")
    for name, value in data.items():
        if not isinstance(value, np.ndarray):
            kept = "{n: c for n, c in instances.data.items() if isinstance(c, np.ndarray)}"
            raise _custom(name, value, f"data={kept}")
    rotated = boxes if isinstance(boxes, RotatedBoxes) else None
    present = {n: columns[n] for n in ("crowd", "area") if columns[n] is not None}
    return Objects(
        boxes=np.asarray(boxes) if isinstance(boxes, Boxes) else None,
        scores=columns["scores"],
        classes=columns["classes"],
        rotated=None if rotated is None else np.asarray(rotated),
        corners=None if rotated is None else rotated.corners(),
        masks=masks,
        keypoints=None if keypoints is None else keypoints.values,
        columns=present | dict(data),
    )


def _custom(name: str, value: Any, fix: str) -> UserError:
    return UserError(
        f"the field {name!r} of the instances cannot be converted",
        rule="arrays, boxes, masks and keypoints",
        received=f"a custom field, {type(value).__name__}",
        fix=f"instances = instances.replace({fix})",
    )


def fields_of(objects: Objects, size: ImageSize | None) -> dict[str, Any]:
    """Return the arguments of the constructor of `Instances`, best object first.

    Args:
        objects: objects that another library stored.
        size: (height, width) of the image in pixels, or None.

    Raises:
        UserError: a value is not valid, or the masks have another size than the image.
    """
    boxes: Boxes | RotatedBoxes | None = None
    if objects.corners is not None:
        boxes = RotatedBoxes.from_corners(objects.corners)
    elif objects.rotated is not None:
        boxes = RotatedBoxes(objects.rotated)
    elif objects.boxes is not None:
        boxes = Boxes(objects.boxes)
    masks = None if objects.masks is None else _masks(objects.masks, size)
    if masks is not None and size is not None and masks.size != tuple(size):
        raise UserError(
            "the masks do not have the size of the image",
            rule=f"(height, width) {tuple(size)}",
            received=f"{masks.size}",
            fix=f"size={masks.size}",
        )
    others = dict(objects.columns)
    return {
        "size": size or (masks.size if masks else (0, 0)),
        "boxes": boxes,
        "classes": objects.classes,
        "scores": objects.scores,
        "masks": masks,
        "keypoints": None if objects.keypoints is None else Keypoints(objects.keypoints),
        "crowd": others.pop("crowd", None),
        "area": others.pop("area", None),
        "data": others,
    }


def _masks(given: Any, size: ImageSize | None) -> Masks:
    """Create masks from bitmaps (n, height, width), or from COCO's polygons or run lengths."""
    if isinstance(given, np.ndarray):
        return Masks.from_bitmaps(given)
    encoded = [one["size"] for one in given if isinstance(one, Mapping) and "size" in one]
    if size is None and not encoded:
        raise UserError(
            "the size of the image is unknown, which the polygons need",
            rule="(height, width) in pixels",
            fix="size=(480, 640)",
        )
    return Masks.from_coco(given, size or tuple(encoded[0]))


def rows_of(objects: Objects) -> list[dict[str, Any]]:
    """Return what each object has, apart from its class, as values that `json.dump` writes.

    Raises:
        UserError: a column has values other than numbers and text.
    """
    values: dict[str, list[Any]] = {}
    if objects.scores is not None:
        values["score"] = objects.scores.tolist()
    for name, array in (("box", objects.boxes), ("rotated_box", objects.rotated)):
        if array is not None:
            values[name] = array.tolist()
    if objects.masks is not None:
        values["segmentation"] = objects.masks.to_coco()
    if objects.keypoints is not None:
        values["keypoints"] = objects.keypoints.reshape(len(objects.keypoints), -1).tolist()
    lists = {name: _json_values(name, array) for name, array in objects.columns.items()}
    values |= {name: lists.pop(name) for name in ("crowd", "area") if name in lists}
    if lists:
        rows = zip(*lists.values(), strict=True)
        values["data"] = [dict(zip(lists, row, strict=True)) for row in rows]
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _json_values(name: str, array: np.ndarray) -> list[Any]:
    if array.dtype.kind not in "biufU":
        raise UserError(
            f"the column {name!r} of the instances cannot be written as JSON",
            rule="numbers, flags or text",
            received=f"an array of {array.dtype}",
            fix=f"instances.replace(data={{{name!r}: instances.data[{name!r}].astype(str)}})",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        # JSON has neither NaN nor infinity; both mean that the value is unknown.
        array = array.astype(object)
        array[~np.isfinite(array.astype(float))] = None
    listed: list[Any] = array.tolist()
    return listed
