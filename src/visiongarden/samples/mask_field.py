"""The masks of all objects of one image, whatever format each of them has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import columns, matrices, run_lengths
from visiongarden.samples.mask_shapes import (
    NOTHING,
    Mask,
    PixelMask,
    PolygonMask,
    Window,
    checked_pixels,
)
from visiongarden.types import ImageSize, Polygons

STRIDE = 4
"""Side in pixels of the cells of mask targets."""

_MAX_COORDINATE = 1e9
_MAX_BYTES = 2**32


class Masks:
    """Masks of n objects on one canvas: polygons, run lengths (RLE) or bitmaps, also mixed.

    A mask keeps its format until pixels are needed: polygons are transformed as points, and the
    transforms of pixels are multiplied and resampled once, by nearest neighbor. Coordinates are
    those of pixel edges, and an object of n pixels has area n in every format. A mask of several
    parts is one object. An object may have no mask; it counts as wholly visible.

    Args:
        parts: one mask per object; the constructors `from_polygons`, `from_rle`, `from_bitmaps` and
            `from_coco` make them.
        size: (height, width) of the canvas in pixels.

    Example:
        >>> import numpy as np
        >>> found = Masks.from_polygons([[[1, 1, 4, 1, 4, 3, 1, 3]]], size=(4, 6))
        >>> found.area().tolist(), found.boxes().tolist()
        ([6.0], [[1.0, 1.0, 4.0, 3.0]])
        >>> mirror = np.array([[-1, 0, 6], [0, 1, 0], [0, 0, 1]])
        >>> found.warp(mirror, (4, 6)).boxes().tolist()
        [[2.0, 1.0, 5.0, 3.0]]
    """

    __slots__ = ("_parts", "size")

    def __init__(self, parts: Iterable[Mask], size: ImageSize) -> None:
        self._parts, self.size = tuple(parts), matrices.checked_size(size)

    @classmethod
    def empty(cls, size: ImageSize) -> Masks:
        """Return the masks of no object."""
        return cls((), size)

    @classmethod
    def from_polygons(cls, polygons: Sequence[Any], size: ImageSize) -> Masks:
        """Make masks of polygons, which may reach beyond the canvas.

        Args:
            polygons: for each object its polygons, each a flat list x, y, x, y, … as in COCO or an
                array (points, 2), in pixels. An object without polygons has no mask.
            size: (height, width) of the canvas in pixels.

        Raises:
            UserError: a polygon has fewer than three points, is not a list of pairs, or has a
                coordinate that is not finite or beyond 1e9.
        """
        return cls(_each(polygons, _polygons), size)

    @classmethod
    def from_rle(cls, encoded: Sequence[Any], size: ImageSize) -> Masks:
        """Create masks from COCO's run-length encoding, without decoding it.

        Args:
            encoded: for each object {"size": [height, width], "counts": …} with the compressed text
                or a list of run lengths.
            size: (height, width) of the canvas in pixels.

        Raises:
            UserError: the run lengths are malformed, do not fill the canvas, or have another size.
        """
        size = matrices.checked_size(size)
        return cls(_each(encoded, lambda one: _runs(one, size)), size)

    @classmethod
    def from_coco(cls, segmentations: Sequence[Any], size: ImageSize) -> Masks:
        """Make masks of the `segmentation` of COCO annotations: polygons, run lengths or None."""
        size = matrices.checked_size(size)

        def read(one: Any) -> Mask:
            return _runs(one, size) if isinstance(one, Mapping) else _polygons(one)

        return cls(_each(segmentations, read), size)

    @classmethod
    def from_bitmaps(cls, bitmaps: np.ndarray) -> Masks:
        """Make masks of bitmaps.

        Args:
            bitmaps: bool (n, height, width), or integers 0 and 1. The canvas has the same size.

        Raises:
            UserError: the array has another shape or other values.
        """
        array = np.asarray(bitmaps)
        if array.ndim != 3:
            raise UserError(
                "the bitmaps have an invalid shape",
                rule="(n, height, width), one bitmap per object",
                received=f"shape {array.shape}",
                fix="bitmaps[None]  # of one bitmap (height, width)",
            )
        integers = array.dtype.kind in "iu" and not (
            array.size and (array.min() < 0 or array.max() > 1)
        )
        if array.dtype != bool and not integers:
            raise UserError(
                "the bitmaps are not binary",
                rule="bool, or integers 0 and 1",
                received=f"{array.dtype} from {array.min()} to {array.max()}"
                if array.size
                else f"{array.dtype}",
                fix="bitmaps > 0  # or another threshold",
            )
        size = array.shape[1:]
        if array.dtype.itemsize == 1:
            array = array.view(bool)
        return cls((PixelMask(size, window=window) for window in _windows(array)), size)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"Masks({len(self)} objects, size={self.size})"

    def __getitem__(self, index: slice | np.ndarray) -> Masks:
        """Return the masks of a slice, of integer indices (m,) or of a bool array (n,)."""
        index = columns.selection(index, len(self))
        if isinstance(index, slice):
            return Masks(self._parts[index], self.size)
        rows = np.arange(len(self))[index]
        return Masks((self._parts[row] for row in rows.tolist()), self.size)

    @classmethod
    def concatenate(cls, parts: Sequence[Masks]) -> Masks:
        """Join masks on the same canvas.

        Raises:
            UserError: there is nothing to join, or the canvases have different sizes.
        """
        sizes = sorted({part.size for part in parts})
        if len(sizes) != 1:
            raise UserError(
                "masks of different canvases cannot be joined" if sizes else "no masks to join",
                rule="masks of at least one image, all of the same (height, width)",
                received=", ".join(map(str, sizes)) or "an empty list",
                fix="[part.warp(matrix, size) for part in parts]" if sizes else "Masks.empty(size)",
            )
        return cls((mask for part in parts for mask in part._parts), sizes[0])

    def warp(self, matrix: np.ndarray, size: ImageSize) -> Masks:
        """Transform the masks; nothing is rasterized or cut at the border of the canvas.

        Args:
            matrix: (3, 3), from input pixels to output pixels.
            size: (height, width) of the output's canvas.
        """
        matrix = matrices.checked_matrix(matrix)
        return Masks((mask.warp(matrix) for mask in self._parts), size)

    def clip(self) -> Masks:
        """Cut off what is outside the canvas; a later transform does not bring it back."""
        return Masks((mask.clip(self.size) for mask in self._parts), self.size)

    def visible_fraction(self, size: ImageSize) -> np.ndarray:
        """Return the fraction of each object's area that is inside a canvas, float64 (n,).

        It is relative to the area before anything was cut. Polygons are clipped exactly; those that
        overlap or cross themselves are compared on a raster. Objects without a mask have the
        fraction 1.
        """
        size = matrices.checked_size(size)
        return np.array([mask.visible(size) for mask in self._parts], np.float64)

    def present(self) -> np.ndarray:
        """Return which objects have a mask, also if all of it has been cut off, bool (n,)."""
        return np.array([mask.present() for mask in self._parts], bool)

    def bitmaps(self) -> np.ndarray:
        """Rasterize the masks as pycocotools does: bool (n, height, width).

        Raises:
            UserError: the result takes more than 4 GiB.
        """
        checked_pixels(self.size)
        shape = (len(self), *self.size)
        if np.prod(shape, dtype=float) > _MAX_BYTES:
            raise UserError(
                "the bitmaps take too much memory",
                rule="at most 4 GiB",
                received=f"{shape[0]} bitmaps of {shape[2]} × {shape[1]} pixels",
                fix="[masks[i : i + 1].bitmaps() for i in range(len(masks))], one at a time",
            )
        found = np.zeros(shape, bool)
        for canvas, mask in zip(found, self._parts, strict=True):
            mask.window(self.size).paste(canvas)
        return found

    def rle(self) -> list[dict[str, Any]]:
        """Return COCO's compressed run lengths of each object, ready for JSON."""
        return self.rle_and_area()[0]

    def rle_and_area(self) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Return the results of `rle` and `area`; the pixels are computed once for both."""
        runs = self._runs()
        texts = run_lengths.texts_of(runs)
        areas = np.array([one[1::2].sum() for one in runs], np.float64)
        return [{"size": list(self.size), "counts": text} for text in texts], areas

    def to_coco(self) -> list[Any]:
        """Return the `segmentation` of each object as in COCO annotations, ready for JSON.

        Polygons stay polygons, as flat lists x, y, x, y, …; pixels become run lengths, and an
        object without a mask None.
        """
        found: list[Any] = [
            [ring.ravel().tolist() for ring in mask.rings] or None
            if isinstance(mask, PolygonMask)
            else None
            for mask in self._parts
        ]
        pixels = [i for i, mask in enumerate(self._parts) if isinstance(mask, PixelMask)]
        for index, encoded in zip(pixels, self[np.array(pixels, int)].rle(), strict=True):
            found[index] = encoded
        return found

    def polygons(self) -> list[Polygons]:
        """Return the polygons of each object, float32 (points, 2) each.

        Polygons are returned as they are, also outside the canvas. Pixels are traced along their
        edges, one polygon for each connected part; a hole is joined by a bridge of zero width.
        """
        return [mask.polygons(self.size) for mask in self._parts]

    def to_polygons(self) -> Masks:
        """Return the masks as polygons, see `polygons`; whatever is written then has polygons.

        An object without pixels has no mask there.

        Example:
            >>> import numpy as np
            >>> found = Masks.from_bitmaps(np.ones((1, 2, 3), bool))
            >>> found.to_coco()
            [{'size': [2, 3], 'counts': '06'}]
            >>> found.to_polygons().to_coco()
            [[[0.0, 0.0, 0.0, 2.0, 3.0, 2.0, 3.0, 0.0]]]
        """
        return Masks((PolygonMask(rings) for rings in self.polygons()), self.size)

    def area(self) -> np.ndarray:
        """Return the number of pixels of each object on the canvas, float64 (n,)."""
        return np.array([self._area_of(mask) for mask in self._parts], np.float64)

    def boxes(self) -> np.ndarray:
        """Return the xyxy box around each object's part on the canvas, float32 (n, 4).

        Boxes of polygons have fractions of pixels. Where nothing is on the canvas, a box is zeros.
        """
        boxes = [mask.box(self.size) for mask in self._parts]
        return np.array(boxes, np.float32).reshape(-1, 4)

    def to_targets(self, capacity: int, size: ImageSize) -> dict[str, np.ndarray]:
        """Return {"masks": uint8 (capacity, ⌈height / 4⌉, ⌈width / 4⌉)}, padded with zeros.

        A cell of 4 × 4 pixels is 1 if the mask covers at least half of its area; cells at the right
        and lower border may have fewer pixels. An object of a few pixels may have no cell.

        Raises:
            UserError: there are more objects than `capacity`, or the masks have another canvas.
        """
        size = matrices.checked_size(size)
        if size != self.size:
            raise UserError(
                "the masks do not have the size of the targets",
                rule=f"(height, width) {size}",
                received=f"{self.size}",
                fix=f"masks.warp(matrix, {size})",
            )
        height, width = size
        cells = np.zeros((len(self), -(-height // STRIDE), -(-width // STRIDE)), np.uint8)
        targets = columns.padded("masks", cells, capacity)
        for target, mask in zip(targets, self._parts, strict=False):
            _fill_cells(target, mask.window(size).trimmed(), size)
        return {"masks": targets}

    def _runs(self) -> list[np.ndarray]:
        """Return the run lengths of each mask: those of the file where there are any."""
        unchanged = [
            mask.unchanged_runs(self.size) if isinstance(mask, PixelMask) else None
            for mask in self._parts
        ]
        others = (
            mask.window(checked_pixels(self.size))
            for mask, runs in zip(self._parts, unchanged, strict=True)
            if runs is None
        )
        made = iter(run_lengths.encode_all(others, self.size))
        return [next(made) if runs is None else runs for runs in unchanged]

    def _area_of(self, mask: Mask) -> int:
        runs = mask.unchanged_runs(self.size) if isinstance(mask, PixelMask) else None
        found = runs[1::2] if runs is not None else mask.window(self.size).pixels
        return int(found.sum())


def _each(given: Sequence[Any], read: Callable[[Any], Mask]) -> list[Mask]:
    found = []
    for index, one in enumerate(given):
        try:
            found.append(read(one))
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(
                f"the mask of object {index} is not valid: {error}",
                rule="polygons of at least three points with finite coordinates, or run lengths "
                "that fill the canvas exactly",
                received=f"{one!r:.100}",
                fix="[[polygon] for polygon in polygons]"
                if isinstance(error, _OnePolygonError)
                else f"correct or remove object {index}",
            ) from None
    return found


def _polygons(given: Any) -> PolygonMask:
    if given is None:
        return PolygonMask(())
    if isinstance(given, np.ndarray) and given.ndim == 2 and given.shape[1] == 2:
        given = [given]
    if _is_one(given):
        raise _OnePolygonError(
            "it is one polygon, and not a list of polygons, each a flat list x, y, x, y, … or an "
            "array (points, 2)"
        )
    return PolygonMask(tuple(map(_ring, given)))


class _OnePolygonError(ValueError):
    """A polygon where a list of polygons is expected."""


def _is_one(given: Any) -> bool:
    """Return whether a value is a flat list of coordinates, or a list of points."""
    if not isinstance(given, list | tuple | np.ndarray) or not len(given):
        return False
    if isinstance(given[0], int | float | np.number):
        return True
    return len(given) >= 3 and all(
        isinstance(point, list | tuple | np.ndarray) and len(point) == 2 for point in given
    )


def _ring(given: Any) -> np.ndarray:
    points = np.asarray(given, np.float64)
    if points.ndim == 1 and len(points) % 2 == 0:
        points = points.reshape(-1, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("a polygon is not a flat list x, y, x, y, … or an array (points, 2)")
    if len(points) < 3:
        raise ValueError("a polygon has fewer than three points")
    if not (np.abs(points) < _MAX_COORDINATE).all():
        raise ValueError("a coordinate is not finite or beyond 1e9")
    return points.astype(np.float32)


def _runs(given: Any, size: ImageSize) -> PixelMask:
    if not isinstance(given, Mapping) or "counts" not in given:
        raise TypeError("run lengths are not given as a dict with the keys size and counts")
    if "size" in given and tuple(given["size"]) != size:
        raise ValueError(
            f"the run lengths have size {given['size']!r:.40}, the canvas {list(size)}"
        )
    return PixelMask(size, runs=run_lengths.runs_of(given["counts"], size))


def _windows(bitmaps: np.ndarray) -> list[Window]:
    """Return the smallest window around each object, with a copy of its pixels."""
    if not bitmaps.size:
        return [NOTHING] * len(bitmaps)
    used = np.asarray(bitmaps.any(axis=2))
    # Of all bitmaps together, because calls take most of the time for small ones.
    first, last = used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
    return [
        _trimmed_copy(bitmap[top:bottom], top) if some else NOTHING
        for bitmap, some, top, bottom in zip(
            bitmaps,
            np.asarray(used.any(axis=1)).tolist(),
            first.tolist(),
            last.tolist(),
            strict=True,
        )
    ]


def _trimmed_copy(rows: np.ndarray, top: int) -> Window:
    used = np.flatnonzero(rows.any(axis=0))
    left, right = int(used[0]), int(used[-1]) + 1
    return Window(top, left, rows[:, left:right].astype(bool))


def _fill_cells(target: np.ndarray, window: Window, size: ImageSize) -> None:
    """Set the cells of which the object covers at least half the area."""
    row, column, pixels = window
    if not pixels.size:
        return
    first = np.array([row, column]) // STRIDE
    last = -(-(np.array([row, column]) + pixels.shape) // STRIDE)
    grid = np.zeros((last - first) * STRIDE, np.uint8)
    Window(row - int(first[0]) * STRIDE, column - int(first[1]) * STRIDE, pixels).paste(grid)
    rows, columns = last - first
    covered = grid.reshape(rows, STRIDE, columns, STRIDE).sum(axis=(1, 3))
    heights, widths = (
        np.minimum(STRIDE, side - STRIDE * np.arange(a, b))
        for side, a, b in zip(size, first, last, strict=True)
    )
    cells = 2 * covered >= heights[:, None] * widths
    target[first[0] : last[0], first[1] : last[1]] = cells
