"""The mask of one object: polygons, or pixels with the transforms that are not yet applied.

Both types share one interface, and both remember which part of the object earlier cuts removed.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import masks, matrices, run_lengths
from visiongarden.samples.loops import Loop, area_inside, crosses_itself, loops_of
from visiongarden.types import ImageSize, Polygons

_OVERLAP_PIXELS = (
    512  # the side of the raster on which the union of overlapping polygons is counted
)
_OPENCV_SIDE = 2**15 - 2
_MAX_PARTS = 200  # of which the overlaps are examined, or which are traced; pairs take memory


class Window(NamedTuple):
    """The rectangle of the canvas around an object, and its pixels."""

    row: int
    column: int
    pixels: np.ndarray  # bool (height, width), may be empty

    def trimmed(self) -> Window:
        """Return the smallest window with the same object."""
        rows = np.flatnonzero(self.pixels.any(axis=1))
        if not len(rows):
            return Window(0, 0, np.zeros((0, 0), bool))
        part = self.pixels[rows[0] : rows[-1] + 1]
        columns = np.flatnonzero(part.any(axis=0))
        part = part[:, columns[0] : columns[-1] + 1]
        return Window(self.row + int(rows[0]), self.column + int(columns[0]), part)

    def paste(self, canvas: np.ndarray) -> None:
        """Set the object's pixels of a canvas, bool (height, width)."""
        height, width = self.pixels.shape
        canvas[self.row : self.row + height, self.column : self.column + width] = self.pixels

    def polygons(self) -> Polygons:
        """Trace the object along the edges of its pixels, in pixels of the canvas."""
        if not self.pixels.size:
            return ()
        corner = np.array([self.column, self.row], np.float32)
        return tuple(ring + corner for ring in masks.polygons_of(self.pixels) or ())

    def box(self) -> list[float]:
        """Return the xyxy box around the object's pixels; zeros if there are no pixels."""
        row, column, pixels = self.trimmed()
        if not pixels.size:
            return [0.0] * 4
        return [column, row, column + pixels.shape[1], row + pixels.shape[0]]


NOTHING = Window(0, 0, np.zeros((0, 0), bool))


class PolygonMask:
    """A mask of polygons, which may reach beyond the canvas.

    Args:
        rings: polygons, each float32 (points, 2).
        share: the fraction of the object that earlier cuts left.
        matrix: an affine transform of the polygons, (3, 3), which is applied when they are needed;
            None: none.
    """

    __slots__ = ("_pending", "_seen", "share")

    def __init__(
        self, rings: Polygons, share: float = 1.0, matrix: np.ndarray | None = None
    ) -> None:
        # One attribute, because threads share the samples of a cache: between two assignments,
        # another thread would transform the points twice.
        self._pending, self.share = (rings, matrix), share
        self._seen: tuple[ImageSize, float] | None = None

    @property
    def rings(self) -> Polygons:
        """The polygons, each float32 (points, 2)."""
        rings, matrix = self._pending
        if matrix is not None:
            rings = _moved(rings, matrix)
            self._pending = (rings, None)
        return rings

    def warp(self, matrix: np.ndarray) -> PolygonMask:
        """Transform the points. What is behind the camera is cut off."""
        rings, pending = self._pending
        if not rings:
            return self
        if not matrix[2, 0] and not matrix[2, 1] and matrix[2, 2] > 0:
            # Transforms are multiplied, so that the points of a mosaic are not moved five times.
            product = matrix if pending is None else matrix @ pending
            return PolygonMask(rings, self.share, product)
        whole, share = self.rings, self.share
        rings = _in_front(whole, matrix)
        if rings is not whole:
            area = masks.area_of(whole)
            share *= min(masks.area_of(rings) / area, 1.0) if area and rings else bool(rings)
        return PolygonMask(_moved(rings, matrix), share)

    def present(self) -> bool:
        """Return whether the object has a mask, also if all of it has been cut off."""
        return bool(self._pending[0]) or self.share < 1

    def window(self, size: ImageSize) -> Window:
        """Rasterize the polygons, exactly as pycocotools does."""
        if not self.rings or 0 in size:
            return NOTHING
        low, high = _range(self.rings)
        limit = np.array(size[::-1])
        # The rasterizer rounds points to a fifth of a pixel.
        if (high < -1).any() or (low > limit + 1).any():
            return NOTHING
        if (low < 0).any() or (high > limit).any():
            return Window(0, 0, masks.fill(self.rings, checked_pixels(size)))
        corner = np.floor(low).astype(int)
        corner = np.minimum(corner, limit - 1)
        width, height = (np.minimum(np.ceil(high).astype(int) + 1, limit) - corner).tolist()
        # Rounded as the rasterizer does, before the shift, which would change the ties.
        rings = tuple(np.floor(ring * 5.0 + 0.5) / 5 - corner for ring in self.rings)
        pixels = masks.fill(rings, checked_pixels((height, width)))
        return Window(int(corner[1]), int(corner[0]), pixels)

    def polygons(self, size: ImageSize) -> Polygons:
        """Return the polygons, also where they are outside the canvas."""
        return self.rings

    def box(self, size: ImageSize) -> list[float]:
        """Return the xyxy box around the part inside the canvas; zeros if there are no pixels."""
        rings = self.clip(size).rings
        return masks.box_of(rings) if rings else [0.0] * 4

    def clip(self, size: ImageSize) -> PolygonMask:
        """Cut off what is outside the canvas."""
        if not self.rings or _is_inside(self.rings, size):
            return self
        rings = masks.cut(self.rings, _canvas(size)) or ()
        rings = tuple(ring for ring in map(_without_spikes, rings) if len(ring) >= 3)
        return PolygonMask(rings, self.visible(size))

    def visible(self, size: ImageSize, traced: bool = False) -> float:
        """Return the fraction of the object's area that is inside the canvas.

        Args:
            size: (height, width) of the canvas.
            traced: the polygons come from `masks.polygons_of`: they do not overlap, and holes have
                the opposite winding order.
        """
        # Kept, because `clip` needs it again.
        seen = self._seen
        if seen is None or seen[0] != size:
            seen = self._seen = (size, self._visible(size, traced))
        return seen[1]

    def _visible(self, size: ImageSize, traced: bool) -> float:
        if not self.rings or _is_inside(self.rings, size):
            return self.share
        low, high = _range(self.rings)
        if (high <= 0).any() or (low >= np.array(size[::-1])).any():
            return 0.0
        simple = traced or len(self.rings) > _MAX_PARTS
        parts = [Loop(1, ring) for ring in self.rings] if simple else loops_of(self.rings)
        whole = sum(sign * masks.area_of((ring,)) for sign, ring in parts)
        if not simple:
            crossed = any(crosses_itself(ring) for _, ring in parts)  # bridges may cross
            if crossed or masks.parts_overlap(self.rings):
                union, inside = _union(self.rings, size)
                # Where the boxes of parts overlap, the parts may not.
                if crossed or union < 0.98 * whole:
                    return self.share * inside / union if union else self.share
        if whole <= 0:
            return self.share  # a line or a point, partly inside
        return self.share * min(area_inside(parts, _canvas(size)) / whole, 1.0)


class PixelMask:
    """A mask of pixels and the transform from them to the canvas, resampled when it is needed.

    Args:
        size: (height, width) of the mask before the transform.
        runs: checked run lengths; None if `window` is given.
        window: the pixels, as an alternative to run lengths.
        matrix: the transform, (3, 3); None: none.
        share: the fraction of the object that earlier cuts left.
    """

    __slots__ = ("matrix", "runs", "share", "size", "source")

    def __init__(
        self,
        size: ImageSize,
        runs: np.ndarray | None = None,
        window: Window | None = None,
        matrix: np.ndarray | None = None,
        share: float = 1.0,
    ) -> None:
        self.size, self.runs, self.source = size, runs, window
        self.matrix, self.share = matrix, share

    def warp(self, matrix: np.ndarray) -> PixelMask:
        """Multiply the transform, so that several are resampled once."""
        product = matrix if self.matrix is None else matrix @ self.matrix
        return PixelMask(self.size, self.runs, self.source, product, self.share)

    def present(self) -> bool:
        """Return whether the object has a mask, also if all of it has been cut off."""
        found = self.runs[1::2] if self.runs is not None else self._source().pixels
        return bool(found.any()) or self.share < 1

    def window(self, size: ImageSize) -> Window:
        """Return the pixels on the canvas, by nearest-neighbor sampling at pixel centers."""
        source = self._source()
        if not source.pixels.size or (self.matrix is None and size == self.size):
            return source
        matrix = np.eye(3) if self.matrix is None else self.matrix
        matrix = matrix @ matrices.shift(source.column, source.row)
        left, top, right, bottom = _reach(matrix, source.pixels.shape, size)
        if left >= right or top >= bottom:
            return NOTHING
        checked_pixels((bottom - top, right - left))
        matrix = matrices.shift(-left, -top) @ matrix
        return Window(top, left, _resampled(source.pixels, matrix, (bottom - top, right - left)))

    def polygons(self, size: ImageSize) -> Polygons:
        """Trace the pixels on the canvas along their edges."""
        return self.window(size).polygons()

    def box(self, size: ImageSize) -> list[float]:
        """Return the xyxy box around the pixels on the canvas; zeros if there are no pixels."""
        return self.window(size).box()

    def clip(self, size: ImageSize) -> PixelMask:
        """Apply the transform and cut off what is outside the canvas."""
        return PixelMask(size, window=self.window(size).trimmed(), share=self.visible(size))

    def visible(self, size: ImageSize) -> float:
        """Return the fraction of the object's area that is inside the canvas.

        The pixels are traced before the transform and cut as polygons, because pixels outside the
        canvas are never resampled. Of masks with very many parts, pixel centers are counted.
        """
        if self.matrix is None and size == self.size:
            return self.share
        source = self._source()
        if not source.pixels.size:
            return self.share
        matrix = np.eye(3) if self.matrix is None else self.matrix
        if matrices.is_affine(matrix):
            height, width = source.pixels.shape
            corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
            corners += np.array([source.column, source.row], np.float32)
            corners = masks.transform(corners, matrix)
            if _is_inside((corners,), size):
                return self.share
        if cv2.connectedComponents(source.pixels.astype(np.uint8))[0] > _MAX_PARTS:
            return self.share * _centers_inside(source, matrix, size)
        polygons = PolygonMask(source.polygons(), self.share).warp(matrix)
        return polygons.visible(size, traced=True)

    def unchanged_runs(self, size: ImageSize) -> np.ndarray | None:
        """Return the run lengths from which the mask was made, or None if they do not apply."""
        return self.runs if self.matrix is None and self.size == size else None

    def _source(self) -> Window:
        if self.source is not None:
            return self.source
        assert self.runs is not None  # noqa: S101
        return Window(0, 0, run_lengths.decode(self.runs, self.size)).trimmed()


Mask: TypeAlias = PolygonMask | PixelMask


def checked_pixels(size: ImageSize) -> ImageSize:
    """Return the size of a mask that is going to be rasterized.

    Raises:
        UserError: it has more pixels than `run_lengths.MAX_PIXELS`.
    """
    if size[0] * size[1] > run_lengths.MAX_PIXELS:
        raise UserError(
            f"a mask of {size[1]} × {size[0]} pixels is too large to be rasterized",
            rule=f"at most {run_lengths.MAX_PIXELS:,} pixels",
            received=f"{size[0] * size[1]:,} pixels",
            fix="divide the image into tiles, or make it smaller",
        )
    return size


def _canvas(size: ImageSize) -> tuple[float, float, float, float]:
    return 0.0, 0.0, float(size[1]), float(size[0])


def _range(rings: Polygons) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate(rings)
    return points.min(axis=0), points.max(axis=0)


def _is_inside(rings: Polygons, size: ImageSize) -> bool:
    low, high = _range(rings)
    return bool((low >= 0).all() and high[0] <= size[1] and high[1] <= size[0])


def _moved(rings: Polygons, matrix: np.ndarray) -> Polygons:
    if not rings:
        return ()
    points = masks.transform(np.concatenate(rings).astype(np.float64), matrix)
    return tuple(np.split(points, np.cumsum([len(ring) for ring in rings])[:-1]))


def _in_front(rings: Polygons, matrix: np.ndarray) -> Polygons:
    """Cut off what is behind the camera: projected, it would appear on the opposite side."""
    distances = [ring @ matrix[2, :2] + (matrix[2, 2] - matrices.MIN_DEPTH) for ring in rings]
    if all((distance >= 0).all() for distance in distances):
        return rings
    parts = (masks.part_in_front(*pair)[0] for pair in zip(rings, distances, strict=True))
    return tuple(part for part in parts if len(part) >= 3)


def _without_spikes(ring: np.ndarray) -> np.ndarray:
    """Remove the edges without area that a cut leaves along the border of the canvas."""
    while len(ring) >= 3:
        before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
        straight = before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]
        spikes = straight & ((before * after).sum(axis=1) < 0)
        unneeded = spikes | (before == 0).all(axis=1)
        if not unneeded.any():
            return ring
        ring = ring[~unneeded]
    return ring[:0]


def _union(rings: Polygons, size: ImageSize) -> tuple[float, float]:
    """Return the area of the union of polygons, and that inside the canvas, by a raster."""
    low, high = _range(rings)
    scale = _OVERLAP_PIXELS / max(float((high - low).max()), 1e-6)
    matrix = np.diag([scale, scale, 1]) @ matrices.shift(*-low.astype(np.float64))
    grid = (_OVERLAP_PIXELS, _OVERLAP_PIXELS)
    areas = [
        float(masks.fill(_moved(part, matrix), grid).sum()) / scale**2 if part else 0.0
        for part in (rings, masks.cut(rings, _canvas(size)) or ())
    ]
    return areas[0], min(areas)


def _centers_inside(window: Window, matrix: np.ndarray, size: ImageSize) -> float:
    """Return the fraction of an object inside a canvas by the centers of its pixels."""
    rows, columns = np.nonzero(window.pixels)
    centers = np.stack([columns + (window.column + 0.5), rows + (window.row + 0.5)], axis=1)
    depth = centers @ matrix[2, :2] + matrix[2, 2]
    front = depth >= matrices.MIN_DEPTH
    depth = np.where(front, depth, 1.0)
    x, y = (centers @ matrix[:2, :2].T + matrix[:2, 2]).T / depth
    inside = front & (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])
    weights = 1 / depth**3  # proportional to the area of each pixel on the canvas
    seen = float(front.mean()) * weights[inside].sum() / max(weights[front].sum(), 1e-300)
    return min(float(seen), 1.0)


def _reach(
    matrix: np.ndarray, source: tuple[int, ...], size: ImageSize
) -> tuple[int, int, int, int]:
    """Return the xyxy rectangle of the canvas to which a transform moves an image."""
    height, width = source
    if matrices.is_affine(matrix):
        # Without arrays: for small objects, calling NumPy takes longer than the computation.
        (left, right), (top, bottom) = (
            _span(to_x, to_y, start, source, limit)
            for (to_x, to_y, start), limit in zip(matrix[:2].tolist(), size[::-1], strict=True)
        )
        return left, top, right, bottom
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64)
    moved = corners @ matrix.T
    if (moved[:, 2] < matrices.MIN_DEPTH).any():
        return 0, 0, size[1], size[0]  # the image reaches the horizon
    points = moved[:, :2] / moved[:, 2:]
    limit = np.array(size[::-1])
    low = np.clip(np.floor(points.min(axis=0) - 0.01), 0, limit).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + 0.01), 0, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _span(
    to_x: float, to_y: float, start: float, source: tuple[int, ...], limit: int
) -> tuple[int, int]:
    """Return the first pixel and the one after the last on one axis, for one row of a matrix."""
    reach = sorted((0.0, to_x * source[1])), sorted((0.0, to_y * source[0]))
    low, high = (start + across + down for across, down in zip(*reach, strict=True))
    return (
        math.floor(min(max(low - 0.01, 0.0), limit)),
        math.ceil(min(max(high + 0.01, 0.0), limit)),
    )


def _resampled(pixels: np.ndarray, matrix: np.ndarray, size: ImageSize) -> np.ndarray:
    matrix = matrices.of_pixel_centers(matrix)
    if max(*pixels.shape, *size) > _OPENCV_SIDE:
        return _sampled(pixels, np.linalg.inv(matrix), size)
    found = cv2.warpPerspective(
        pixels.astype(np.uint8), matrix, (size[1], size[0]), flags=cv2.INTER_NEAREST
    ).astype(bool)
    if matrices.is_affine(matrix):
        return np.asarray(found)
    depth = np.linalg.inv(matrix)[2]
    corners = np.array([[0, 0, 1], [0, size[0], 1], [size[1], 0, 1], [size[1], size[0], 1]])
    if (corners @ depth <= 0).any():
        # OpenCV also shows what is behind the camera.
        rows, columns = np.ogrid[: size[0], : size[1]]
        found &= columns * depth[0] + rows * depth[1] + depth[2] > 0
    return np.asarray(found)


def _sampled(pixels: np.ndarray, inverse: np.ndarray, size: ImageSize) -> np.ndarray:
    """Sample the nearest pixels row by row, for images that are too large for OpenCV."""
    found = np.zeros(size, bool)
    columns = np.arange(size[1])
    for row in range(size[0]):
        x, y, depth = (
            np.outer(inverse[:, 0], columns) + (inverse[:, 1] * row + inverse[:, 2])[:, None]
        )
        front = depth > 0
        x, y = np.rint(x[front] / depth[front]), np.rint(y[front] / depth[front])
        inside = (x >= 0) & (x < pixels.shape[1]) & (y >= 0) & (y < pixels.shape[0])
        there = np.flatnonzero(front)[inside]
        found[row, there] = pixels[y[inside].astype(int), x[inside].astype(int)]
    return found
