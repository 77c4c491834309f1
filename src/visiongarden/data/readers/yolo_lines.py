"""Lines of YOLO label files: boxes, rotated boxes, polygons and poses, in shares of the sides."""

from __future__ import annotations

import functools
import math

import numpy as np

from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import Label
from visiongarden.samples import RotatedBoxes, masks
from visiongarden.types import ImageSize

KptShape = tuple[int, int]
"""(number of keypoints, values per keypoint): (17, 3) is x, y and visibility of 17 keypoints."""

_MAX_SKEW, _MAX_SHARE = 1.0, 0.02
"""Deviation from a rectangle, in pixels and as a fraction of the longest edge.

Labels of rotated boxes are written with few digits, or rounded to pixels.
"""

_BOX = "class, center x, center y, width, height"


def all_boxes(
    text: str, size: ImageSize, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Parse a label file that consists of valid boxes.

    This is the fast path of the reader: it reports no errors and returns None for any other file,
    which is then parsed line by line.

    Args:
        text: Content of the file.
        size: (height, width) of the image.
        count: Number of classes.

    Returns:
        Boxes, float32 (n, 4), xyxy, pixels; classes, int32 (n,); and lines, int32 (n,), from 1.
    """
    height, width = size
    boxes, classes = [], []
    all_words = [*map(str.split, text.splitlines())]
    for words in all_words:
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
        # NaN is rejected as well, because every comparison with it is False.
        if not (index < count and 0 <= left < right <= width and 0 <= top < bottom <= height):
            return None
        boxes.append((left, top, right, bottom))
        classes.append(index)
    lines = [number for number, words in enumerate(all_words, start=1) if words]
    # Most files have no empty line.
    numbers = _up_to(len(lines)) if len(lines) == len(all_words) else np.array(lines, np.int32)
    columns = np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int32)
    return *columns, numbers


@functools.lru_cache(maxsize=256)
def _up_to(count: int) -> np.ndarray:
    numbers = np.arange(1, count + 1, dtype=np.int32)
    numbers.flags.writeable = False  # shared
    return numbers


def label_of(
    where: str,
    line: str,
    size: ImageSize,
    count: int,
    errors: ErrorList,
    kpt_shape: KptShape | None = None,
    rotated: bool = False,
) -> Label | None:
    """Parse one line of a label file; return None, after adding an error, if it is not valid.

    Args:
        where: File and line number.
        line: Text of the line.
        size: (height, width) of the image.
        count: Number of classes.
        errors: Collector of errors, and of the numbers of objects.
        kpt_shape: Shape of the keypoints of pose labels, whose first four numbers are a box.
        rotated: Whether the eight numbers after the class are the corners of a rotated box.
    """
    words = line.split()
    reason = _separators(words) or _count(len(words), kpt_shape, rotated)
    if reason:
        errors.add(where, reason)
        return None
    try:
        index, values = _class_of(words[0]), np.array([float(word) for word in words[1:]])
    except ValueError:
        errors.add(where, f"the values are not numbers: {' '.join(words)[:80]}")
        return None
    if index is None:
        errors.add(where, f"class {words[0]:.40} is not an integer")
        return None
    index = errors.shifted(index)
    errors.ids[index] += 1
    if not 0 <= index < count:
        last = count - 1
        errors.add(where, f"class {index} is outside the class map of {count}, 0 to {last}", "id")
        return None
    is_box = kpt_shape is not None or len(values) == 4
    shares = values[:4] if is_box else values
    # Values between 1 and 2 are reported later, as boxes outside of the image.
    if (shares > 2).any():
        what = f"values up to {shares.max():g}, apparently pixels; expected fractions from 0 to 1"
        errors.add(where, what, "pixels")
        return None
    sides = np.array([size[1], size[0]], np.float64)
    if is_box:
        middle, half = values[:2] * sides, values[2:4] * sides / 2
        box = (*(middle - half).tolist(), *(middle + half).tolist())
        points = _keypoints(where, values[4:], sides, kpt_shape, errors)
        return Label(where, box, index, keypoints=points)
    if rotated:
        return _rotated(where, values.reshape(4, 2) * sides, index, errors)
    errors.polygons += 1
    errors.pose_like += _looks_like_a_pose(values)
    ring = (values.reshape(-1, 2) * sides).astype(np.float32)
    return Label(where, masks.box_of((ring,)), index, polygons=(ring,))


def _rotated(where: str, corners: np.ndarray, index: int, errors: ErrorList) -> Label | None:
    """Return the label of a rotated box with given corners, float64 (4, 2) in pixels."""
    if not np.isfinite(corners).all():
        errors.add(where, "the corners are not finite", "not-finite")
        return None
    (box,) = np.asarray(RotatedBoxes.from_corners(corners[None])).tolist()
    return Label(where, box, index)


def are_rectangles(text: str, size: ImageSize) -> bool | None:
    """Return whether all lines of a label file are a class and the corners of a rectangle.

    Args:
        text: Content of the file.
        size: (height, width) of the image; lines contain fractions of it.

    Returns:
        None if the file has no line.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    if any(len(words) != 9 for words in lines):
        return False
    try:
        values = np.array([[float(word) for word in words[1:]] for words in lines])
    except ValueError:
        return False
    corners = values.reshape(-1, 4, 2) * (size[1], size[0])
    edges = np.roll(corners, -1, axis=1) - corners
    lengths = np.sqrt((edges**2).sum(axis=2))
    # Of a rectangle, opposite edges are equal and opposite, and both diagonals are equally long.
    skew = np.sqrt(((edges[:, :2] + edges[:, 2:]) ** 2).sum(axis=2)).max(axis=1)
    diagonals = np.sqrt(((corners[:, :2] - corners[:, 2:]) ** 2).sum(axis=2))
    unequal = np.abs(diagonals[:, 0] - diagonals[:, 1])
    margin = np.maximum(_MAX_SKEW, _MAX_SHARE * lengths.max(axis=1))
    # NaN is rejected as well, because every comparison with it is False.
    return bool(((skew <= margin) & (unequal <= margin) & (lengths.min(axis=1) > 0)).all())


def _keypoints(
    where: str,
    values: np.ndarray,
    sides: np.ndarray,
    kpt_shape: KptShape | None,
    errors: ErrorList,
) -> np.ndarray | None:
    """Return the keypoints of a pose label, float64 (k, 3): x, y in pixels and visibility."""
    if kpt_shape is None or not len(values):
        return None
    points = np.zeros((kpt_shape[0], 3))
    given = values.reshape(kpt_shape)
    points[:, :2] = given[:, :2] * sides
    # Without a visibility value, (0, 0) marks a keypoint that is not labeled.
    points[:, 2] = given[:, 2] if kpt_shape[1] == 3 else np.where(given.any(axis=1), 2, 0)
    if not np.isfinite(points).all():
        errors.left_off(where, "a keypoint is not finite", "keypoints")
        return None
    strange = points[~np.isin(points[:, 2], (0, 1, 2)), 2]
    if len(strange):
        what = f"a keypoint has the visibility {strange[0]:g}; expected 0, 1 or 2"
        errors.left_off(where, what, "keypoints")
        return None
    errors.keypoints += bool((points[:, 2] > 0).any())
    return points


def _class_of(word: str) -> int | None:
    """Return a class id, or None if the number is not an integer.

    numpy.savetxt writes 1 as 1.000000000000000000e+00.
    """
    if word.lstrip("+-").isdecimal():
        return int(word)
    value = float(word)
    return int(value) if math.isfinite(value) and value == int(value) else None


def _separators(words: list[str]) -> str:
    """Describe separators other than white space, and decimal commas; "" for neither."""
    line = " ".join(words)
    for sign, name in ((";", "semicolons"), ("|", "bars")):
        if sign in line:
            return f"values are separated by {name}; expected spaces: {line:.80}"
    if "," not in line:
        return ""
    if len(words) >= 5 and all(_is_number(word.replace(",", ".", 1)) for word in words):
        return f"numbers have decimal commas; expected points, as in 0.5: {line:.80}"
    return f"values are separated by commas; expected spaces: {line:.80}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _count(count: int, kpt_shape: KptShape | None, rotated: bool) -> str:
    """Describe an invalid number of values in a line; "" if the number is valid."""
    if rotated:
        return "" if count == 9 else f"{count} values; expected 9: class and four corners"
    if kpt_shape is not None:
        points, each = kpt_shape
        wanted = 5 + points * each
        if count in (5, wanted):
            return ""
        return (
            f"{count} values; expected {wanted}: {_BOX}, and {each} for each of {points} points, "
            f"as in `kpt_shape: [{points}, {each}]`"
        )
    if count == 5 or (count >= 7 and count % 2 == 1):
        return ""
    pose = count > 5 and (count - 5) % 3 == 0
    return f"{count} values; expected 5 ({_BOX}), or a class and at least three points" + (
        f"; for pose labels, set `kpt_shape: [{(count - 5) // 3}, 3]` in data.yaml" * pose
    )


def _looks_like_a_pose(values: np.ndarray) -> bool:
    """Return whether a polygon is more plausible as a pose label.

    In a pose label the first four numbers are the center and the sides of a box, and the remaining
    points are keypoints inside it. That reading is accepted if the remaining points fit into and
    fill that box, while at least one of the first two points is outside the remaining points'
    bounding box.
    """
    if len(values) < 8 or not np.isfinite(values).all():
        return False
    rest = values[4:].reshape(-1, 2)
    low, high = rest.min(axis=0), rest.max(axis=0)
    outside = any(((p <= low) | (p >= high)).any() for p in (values[:2], values[2:4]))
    margin = 0.05 * values[2:4]
    box_low, box_high = values[:2] - values[2:4] / 2, values[:2] + values[2:4] / 2
    inside = (low >= box_low - margin).all() and (high <= box_high + margin).all()
    # A small polygon far from the origin is inside that box too, but fills hardly any of it.
    filled = (high - low >= 0.25 * values[2:4]).all()
    return bool(outside and inside and filled)
