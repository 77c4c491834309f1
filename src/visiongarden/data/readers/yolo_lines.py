"""Lines of YOLO label files: boxes, polygons, poses; numbers are shares of the sides, 0 to 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from visiongarden.data.faults import Faults
from visiongarden.data.readers.build import Label
from visiongarden.samples import outlines
from visiongarden.types import ImageSize

KptShape = tuple[int, int]
"""Number of keypoints and of values of each: (17, 3) is x, y, visibility of 17 points."""

_BOX = "class, center x, center y, width, height"


def all_boxes(text: str, size: ImageSize, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Boxes and classes of a file that holds valid boxes alone; None for any other."""
    height, width = size
    boxes, classes = [], []
    for words in map(str.split, text.splitlines()):
        if not words:
            continue
        if len(words) != 5 or not words[0].isdecimal():
            return None
        try:
            index, (x, y, w, h) = int(words[0]), map(float, words[1:])
        except ValueError:
            return None
        left, right = (x - w / 2) * width, (x + w / 2) * width
        top, bottom = (y - h / 2) * height, (y + h / 2) * height
        # A comparison with NaN is False.
        if not (index < count and 0 <= left < right <= width and 0 <= top < bottom <= height):
            return None
        boxes.append((left, top, right, bottom))
        classes.append(index)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int32)


def label_of(
    where: str,
    line: str,
    size: ImageSize,
    count: int,
    faults: Faults,
    kpt_shape: KptShape | None = None,
) -> Label | None:
    """The object of one line; None, with a fault, where it is not valid.

    Args:
        where: file and line number.
        line: the text.
        size: (height, width) of the image.
        count: number of classes.
        faults: takes what is wrong, and counts what is not used.
        kpt_shape: of pose labels, whose first four numbers are a box.
    """
    words = line.split()
    reason = _separators(words) or _count(len(words), kpt_shape)
    if reason:
        faults.add(where, reason)
        return None
    try:
        index, values = _class_of(words[0]), np.array([float(word) for word in words[1:]])
    except ValueError:
        faults.add(where, f"not numbers: {' '.join(words)[:80]}")
        return None
    if index is None:
        faults.add(where, f"class {words[0]:.40} is not a whole number")
        return None
    index = faults.shifted(index)
    faults.ids[index] += 1
    if not 0 <= index < count:
        last = count - 1
        faults.add(where, f"class {index} is outside the class map, 0 to {last} ({count})", "id")
        return None
    is_box = kpt_shape is not None or len(values) == 4
    shares = values[:4] if is_box else values
    if (shares > 2).any():
        most = f"values up to {shares.max():g}: pixels? they are shares, 0 to 1"
        faults.add(where, most, "pixels")
        return None
    sides = np.array([size[1], size[0]], np.float64)
    if is_box:
        middle, half = values[:2] * sides, values[2:4] * sides / 2
        box = (*(middle - half).tolist(), *(middle + half).tolist())
        return Label(where, box, index, extra=_keypoints(values[4:], sides, kpt_shape, faults))
    if len(values) == 8:
        faults.four_points += 1
    faults.polygons += 1
    faults.pose_like += _looks_like_a_pose(values)
    ring = (values.reshape(-1, 2) * sides).astype(np.float32)
    return Label(where, outlines.box_of((ring,)), index, outline=(ring,))


def _keypoints(
    values: np.ndarray, sides: np.ndarray, kpt_shape: KptShape | None, faults: Faults
) -> dict[str, Any]:
    """Keypoints as COCO keeps them, x, y in pixels and visibility, for writers to pass on."""
    if kpt_shape is None or not len(values) or not np.isfinite(values).all():
        return {}
    faults.unused["keypoints"] += 1
    points = values.reshape(kpt_shape)
    places = points[:, :2] * sides
    # Without a third value a point at (0, 0) is one that is not labeled.
    seen = points[:, 2] if kpt_shape[1] == 3 else np.where(points.any(axis=1), 2, 0)
    rows = [[x, y, int(v)] for (x, y), v in zip(places.tolist(), seen.tolist(), strict=True)]
    return {"keypoints": [v for row in rows for v in row], "num_keypoints": int((seen > 0).sum())}


def _class_of(word: str) -> int | None:
    """A class id; numpy.savetxt writes 1 as 1.000000000000000000e+00. None for other numbers."""
    if word.lstrip("+-").isdecimal():
        return int(word)
    value = float(word)
    return int(value) if math.isfinite(value) and value == int(value) else None


def _separators(words: list[str]) -> str:
    """What is wrong where other signs than white space are between numbers, or in them."""
    line = " ".join(words)
    for sign, name in ((";", "semicolons"), ("|", "bars")):
        if sign in line:
            return f"values are separated by {name}; expected spaces: {line:.80}"
    if "," not in line:
        return ""
    if len(words) >= 5 and all(_is_number(word.replace(",", ".", 1)) for word in words):
        return f"decimal commas; expected points, as in 0.5: {line:.80}"
    return f"values are separated by commas; expected spaces: {line:.80}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _count(count: int, kpt_shape: KptShape | None) -> str:
    """What is wrong with the number of values of a line."""
    if kpt_shape is not None:
        points, each = kpt_shape
        wanted = 5 + points * each
        if count in (5, wanted):
            return ""
        return (
            f"{count} values, not {wanted}: {_BOX}, and {each} for each of {points} keypoints, "
            f"as `kpt_shape: [{points}, {each}]` states"
        )
    if count == 5 or (count >= 7 and count % 2 == 1):
        return ""
    pose = count > 5 and (count - 5) % 3 == 0
    return f"{count} values, not 5: {_BOX}; nor class and three points or more" + (
        f"; of pose labels, state `kpt_shape: [{(count - 5) // 3}, 3]` in data.yaml" * pose
    )


def _looks_like_a_pose(values: np.ndarray) -> bool:
    """Whether a polygon's first two points read better as the center and the sides of a box.

    The keypoints of a pose label are inside its box, and the sides taken as a point are not among
    the keypoints; a polygon does not pass by its own center and surround it from inside.
    """
    if len(values) < 8 or not np.isfinite(values).all():
        return False
    rest = values[4:].reshape(-1, 2)
    low, high = rest.min(axis=0), rest.max(axis=0)
    outside = any(((p <= low) | (p >= high)).any() for p in (values[:2], values[2:4]))
    margin = 0.05 * values[2:4]
    box_low, box_high = values[:2] - values[2:4] / 2, values[:2] + values[2:4] / 2
    inside = (low >= box_low - margin).all() and (high <= box_high + margin).all()
    # A small polygon far from the origin is inside that box too, and fills hardly any of it.
    filled = (high - low >= 0.25 * values[2:4]).all()
    return bool(outside and inside and filled)
