"""Render parts of images on a canvas: each pixel is resampled once, and only if it is visible."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from visiongarden.samples import matrices
from visiongarden.types import ImageSize

Window = tuple[int, int, int, int]
"""Part of an image, xyxy in whole pixels."""

_WHOLE = 1e-4
"""Deviation in pixels below which a coordinate is a whole number."""

_MAX_VALUES = 2**28
"""Largest number of pixel values of an image that is resized before it is cropped."""

_MAX_SIDE = 2**15 - 2
"""Largest side in pixels of an image that OpenCV warps."""

_CHANNELS = 4
"""Most channels that OpenCV warps together."""


class Placed(NamedTuple):
    """Part of an array and its mapping to the canvas.

    Attributes:
        array: (height, width, ...) of any number of channels.
        window: part of the array that is shown.
        matrix: float64 (3, 3), from pixels of the array to pixels of the canvas.
    """

    array: np.ndarray
    window: Window
    matrix: np.ndarray


def render(
    parts: Sequence[Placed], size: ImageSize, fill: Sequence[float], nearest: bool = False
) -> np.ndarray:
    """Render parts of arrays of equal dtype and number of channels on one canvas.

    Args:
        parts: parts in the order in which they are rendered; later ones cover earlier ones.
        size: (height, width) of the canvas.
        fill: value where there is no part: one, or one per channel.
        nearest: take the nearest pixel; otherwise interpolate linearly.

    Returns:
        An array (height, width, ...) of the same dtype.
    """
    turn = _common_turn([part.matrix for part in parts])
    if turn is not None and turn != (False, False, False):
        back = _matrix_of(turn, size)
        moved = [part._replace(matrix=back @ part.matrix) for part in parts]
        return _turned(render(moved, size[::-1] if turn[0] else size, fill, nearest), turn)
    array = parts[0].array
    canvas = _filled((*size, *array.shape[2:]), array.dtype, fill)
    for part in parts:
        _draw(canvas, part, nearest)
    return canvas


def is_upright(matrix: np.ndarray) -> bool:
    """Return whether a matrix only scales, by positive factors, and shifts."""
    (a, b, _), (c, d, _), (e, f, g) = matrix.tolist()
    return bool(b == c == e == f == 0 and g == 1 and a > 0 and d > 0)


def turn_of(matrix: np.ndarray) -> tuple[bool, bool, bool] | None:
    """Return whether a matrix transposes, mirrors x and mirrors y, after scaling and shifting.

    None if it does anything else. Such a matrix moves pixels without interpolation.
    """
    (a, b, _), (c, d, _), (e, f, g) = matrix.tolist()
    if e or f or g != 1:
        return None
    if b == c == 0 != a * d:
        return False, a < 0, d < 0
    if a == d == 0 != b * c:
        return True, b < 0, c < 0
    return None


def _common_turn(found: Sequence[np.ndarray]) -> tuple[bool, bool, bool] | None:
    turns = {turn_of(matrix) for matrix in found}
    return turns.pop() if len(turns) == 1 else None


def _matrix_of(turn: tuple[bool, bool, bool], size: ImageSize) -> np.ndarray:
    """Return the matrix that undoes a turn on a canvas."""
    transposed, mirror_x, mirror_y = turn
    matrix = np.eye(3)
    for axis, mirror in ((0, mirror_x), (1, mirror_y)):
        if mirror:
            matrix[axis, axis], matrix[axis, 2] = -1, size[1 - axis]
    return matrix[[1, 0, 2]] if transposed else matrix


def _turned(canvas: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    transposed, mirror_x, mirror_y = turn
    if transposed:
        canvas = np.ascontiguousarray(canvas.swapaxes(0, 1))
    if not mirror_x and not mirror_y:
        return canvas
    if canvas.ndim == 3 and canvas.shape[2] == 3 and canvas.size:
        # A third of the time of NumPy's copy.
        return np.asarray(cv2.flip(canvas, -1 if mirror_x and mirror_y else int(mirror_x)))
    rows = slice(None, None, -1 if mirror_y else 1)
    return np.ascontiguousarray(canvas[rows, :: -1 if mirror_x else 1])


def _filled(shape: tuple[int, ...], dtype: np.dtype, fill: Sequence[float]) -> np.ndarray:
    values = set(fill)
    if len(values) == 1:
        return np.full(shape, values.pop(), dtype)
    return np.broadcast_to(np.asarray(fill, dtype), shape).copy()


def _draw(canvas: np.ndarray, part: Placed, nearest: bool) -> None:
    x1, y1, x2, y2 = part.window
    array = part.array[y1:y2, x1:x2]
    if not array.size or not canvas.size:
        return
    matrix = part.matrix @ matrices.shift(x1, y1) if x1 or y1 else part.matrix
    if max(array.shape[:2]) > _MAX_SIDE:
        array, matrix = _reduced(array, matrix, canvas.shape, nearest)
    if not array.size:
        return
    if is_upright(matrix):
        _draw_upright(canvas, array, matrix, nearest)
    else:
        _draw_warped(canvas, array, matrix, nearest)


def _reduced(
    array: np.ndarray, matrix: np.ndarray, canvas: Sequence[int], nearest: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the visible part of an array that is too large for OpenCV's warps, and its matrix.

    A part that is still too large is shrunk first.
    """
    if turn_of(matrix) is not None and np.abs(matrix[:2, :2]).max() <= 1:
        return array, matrix  # resized, without a limit
    height, width = array.shape[:2]
    ends = np.array([[0, 0, 1], [canvas[1], 0, 1], [canvas[1], canvas[0], 1], [0, canvas[0], 1]])
    corners = ends @ np.linalg.inv(matrix).T
    if (corners[:, 2] > 0).all():
        points = corners[:, :2] / corners[:, 2:]
        low = np.clip(np.floor(points.min(axis=0)) - 2, 0, (width, height)).astype(int)
        high = np.clip(np.ceil(points.max(axis=0)) + 2, 0, (width, height)).astype(int)
        array = array[low[1] : high[1], low[0] : high[0]]
        matrix = matrix @ matrices.shift(*low)
    height, width = array.shape[:2]
    factor = -(-max(height, width, 1) // _MAX_SIDE)
    if factor == 1 or not array.size:
        return array, matrix
    size = (max(height // factor, 1), max(width // factor, 1))
    shrunk = np.empty((*size, *array.shape[2:]), array.dtype)
    _resize_into(shrunk, array, nearest, exact=True)
    return shrunk, matrix @ np.diag([width / size[1], height / size[0], 1])


def _draw_upright(canvas: np.ndarray, array: np.ndarray, matrix: np.ndarray, nearest: bool) -> None:
    """Render an array that is scaled and shifted; one that shrinks is resized with `cv2.resize`.

    This takes a quarter of the time of a warp. The edges are rounded to whole pixels of the array,
    an error of at most half a pixel. Where no edge needs rounding, the result is that of
    `samples.resizing`, which averages areas.
    """
    scale, offset = (matrix[0, 0], matrix[1, 1]), (matrix[0, 2], matrix[1, 2])
    columns = _Axis(float(scale[0]), float(offset[0]), array.shape[1], canvas.shape[1])
    rows = _Axis(float(scale[1]), float(offset[1]), array.shape[0], canvas.shape[0])
    if columns.low >= columns.high or rows.low >= rows.high:
        return
    view = canvas[rows.low : rows.high, columns.low : columns.high]
    values = columns.length * rows.length * math.prod(array.shape[2:])
    if columns.is_whole and rows.is_whole and values <= _MAX_VALUES:
        whole = np.empty((rows.length, columns.length, *array.shape[2:]), array.dtype)
        is_visible = whole.shape[:2] == view.shape[:2]
        _resize_into(view if is_visible else whole, array, nearest, exact=True)
        if not is_visible:
            view[...] = whole[
                rows.low - rows.start : rows.high - rows.start,
                columns.low - columns.start : columns.high - columns.start,
            ]
        return
    exact = columns.cuts_whole and rows.cuts_whole
    if exact or max(scale) <= 1:
        seen = array[rows.first : rows.last, columns.first : columns.last]
        _resize_into(view, seen, nearest, exact)
        return
    # An upright part fills its view completely; a transparent border would leave the outermost
    # pixels unfilled.
    seen_from = matrices.shift(-columns.low, -rows.low) @ matrix
    _warp_into(view, array, seen_from, nearest, cv2.BORDER_REPLICATE)


class _Axis:
    """One axis of an upright part: where it begins and ends on the canvas and in the array."""

    __slots__ = ("cuts_whole", "first", "high", "is_whole", "last", "length", "low", "start")

    def __init__(self, scale: float, offset: float, array: int, canvas: int) -> None:
        end = offset + scale * array
        self.start, stop = round(offset), round(end)
        self.length = stop - self.start
        self.is_whole = (
            abs(offset - self.start) < _WHOLE and abs(end - stop) < _WHOLE and self.length > 0
        )
        self.low, self.high = min(max(self.start, 0), canvas), min(max(stop, 0), canvas)
        first, last = (self.low - offset) / scale, (self.high - offset) / scale
        self.first = min(max(round(first), 0), array - 1)
        self.last = min(max(round(last), self.first + 1), array)
        self.cuts_whole = abs(first - self.first) < _WHOLE and abs(last - self.last) < _WHOLE


def _draw_warped(canvas: np.ndarray, array: np.ndarray, matrix: np.ndarray, nearest: bool) -> None:
    height, width = array.shape[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64)
    moved = corners @ matrix.T
    if (moved[:, 2] < matrices.MIN_DEPTH).any():
        _draw_in_front(canvas, array, matrix, nearest)
        return
    points = moved[:, :2] / moved[:, 2:]
    limit = (canvas.shape[1], canvas.shape[0])
    left, top = np.clip(np.floor(points.min(axis=0)), 0, limit).astype(int).tolist()
    right, bottom = np.clip(np.ceil(points.max(axis=0)), 0, limit).astype(int).tolist()
    if right <= left or bottom <= top:
        return
    view = canvas[top:bottom, left:right]
    # The pixels of the view outside the part must not change.
    seen_from = matrices.shift(-left, -top) @ matrix
    _warp_into(view, array, seen_from, nearest, cv2.BORDER_TRANSPARENT)


def _draw_in_front(
    canvas: np.ndarray, array: np.ndarray, matrix: np.ndarray, nearest: bool
) -> None:
    """Render what is in front of the camera; OpenCV also shows what is behind it."""
    drawn = canvas.copy()
    _warp_into(drawn, array, matrix, nearest, cv2.BORDER_TRANSPARENT)
    depth = np.linalg.inv(matrix)[2]
    rows, columns = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
    front = (columns + 0.5) * depth[0] + (rows + 0.5) * depth[1] + depth[2] > 0
    canvas[front] = drawn[front]


def _resize_into(view: np.ndarray, array: np.ndarray, nearest: bool, exact: bool) -> None:
    """Resize an array into a part of the canvas.

    Args:
        view: part of the canvas.
        array: (height, width, ...).
        nearest: take the nearest pixel.
        exact: average areas where the array shrinks; otherwise interpolate linearly.
    """
    if array.shape == view.shape:
        view[...] = array
        return
    smaller = view.shape[0] < array.shape[0] or view.shape[1] < array.shape[1]
    # OpenCV's INTER_NEAREST samples at the corner of a pixel, which shifts by half a pixel.
    interpolation = cv2.INTER_AREA if exact and smaller else cv2.INTER_LINEAR
    interpolation = cv2.INTER_NEAREST_EXACT if nearest else interpolation
    shape = (view.shape[1], view.shape[0])

    def resize(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.resize(source, shape, target, interpolation=interpolation))

    _by_groups(view, array, resize)


def _warp_into(
    view: np.ndarray, array: np.ndarray, matrix: np.ndarray, nearest: bool, border: int
) -> None:
    """Warp an array into a part of the canvas."""
    # OpenCV's (0, 0) is the center of the first pixel, which has the coordinates (0.5, 0.5) here.
    centered = matrices.of_pixel_centers(matrix)
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    shape = (view.shape[1], view.shape[0])
    options: Any = {"flags": flags, "borderMode": border}

    def warp(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        if centered[2, :2].any():
            return np.asarray(cv2.warpPerspective(source, centered, shape, target, **options))
        return np.asarray(
            cv2.warpAffine(source, centered[:2] / centered[2, 2], shape, target, **options)
        )

    _by_groups(view, array, warp)


def _by_groups(
    view: np.ndarray,
    array: np.ndarray,
    change: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    """Apply an operation of OpenCV to arrays with any number of channels.

    Args:
        view: where the result is written.
        array: the source.
        change: operation on source and target, which returns the target or another array.
    """
    if array.ndim == 2 or array.shape[2] <= _CHANNELS:
        drawn = change(array, view)
        # OpenCV returns another array where it cannot write into this one.
        if drawn is not view and not np.shares_memory(drawn, view):
            view[...] = drawn.reshape(view.shape)
        return
    for first in range(0, array.shape[2], _CHANNELS):
        group = slice(first, first + _CHANNELS)
        target = np.ascontiguousarray(view[..., group])
        drawn = change(np.ascontiguousarray(array[..., group]), target)
        view[..., group] = drawn.reshape(target.shape)
