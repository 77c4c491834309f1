"""`Mosaic`: four or nine images on one canvas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from visiongarden.registry import register
from visiongarden.samples import Sample, matrices
from visiongarden.transforms.pending import Tile
from visiongarden.transforms.transform import Context, Layout, size_of
from visiongarden.types import ImageSize


@register
class Mosaic(Layout):
    """Combine four or nine images (mosaic: Bochkovskiy et al. 2020, YOLOv4, section 3.4).

    Four images fill a scene of twice the canvas sides. They meet in a random point, on each axis at
    most a quarter of the scene's side away from its center. Nine images fill a scene of three times
    the canvas sides, which is shown at 2/3 of the scale of a single image. The canvas shows the
    center of the scene, and an `Affine` that follows also shows what is around it.

    A mosaic with more objects than the capacity of the targets is not made: nine images become
    four, and four become one.

    Attributes:
        grid: number of images on each axis.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (30, 40))
        >>> samples = [vg.samples.Sample(info, np.full((30, 40, 3), i, np.uint8)) for i in range(4)]
        >>> pipeline = vg.transforms.Pipeline(
        ...     [Mosaic()], samples, size=(80, 80), capacity=1, epochs=1, seed=0
        ... )
        >>> np.unique(pipeline(0, epoch=0).image).tolist()
        [0, 1, 2, 3, 114]
    """

    images: ClassVar[int] = 4
    grid: Literal[2, 3] = 2

    def tiles(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[list[Tile], ImageSize] | None:
        """Return the tiles, the first of `sample`, and the size of the canvas."""
        samples = [sample, *context.others(self.grid**2 - 1, rng)]
        counts = np.cumsum([len(each.instances) for each in samples])
        grid = next((n for n in (self.grid, 2) if counts[n * n - 1] <= context.capacity), None)
        if grid is None:
            return None
        order = samples[: grid * grid]
        if grid == 3:
            order = [*order[1:5], sample, *order[5:]]  # the image itself is central
        tiles = _tiles(order, context.size, grid, rng)
        main = next((tile for tile in tiles if tile.sample is sample), None)
        if main is None:
            return None
        return [main, *(tile for tile in tiles if tile is not main)], context.size


def _tiles(
    samples: Sequence[Sample], size: ImageSize, grid: int, rng: np.random.Generator
) -> list[Tile]:
    """Return the tiles of images row by row, without those that the scene does not show.

    The center of the scene is (0, 0), its unit a pixel of the canvas.
    """
    sides = np.array([size[1], size[0]], np.float64)
    if grid == 2:
        lines = np.stack([-sides, rng.uniform(-0.5, 0.5, 2) * sides, sides])
    else:
        away = rng.uniform(-0.25, 0.25, 2) * sides
        lines = np.stack([-1.5 * sides, away - sides / 2, away + sides / 2, 1.5 * sides])
    scale = 2 / grid
    view = matrices.shift(*(sides / 2)) @ np.diag([scale, scale, 1.0])
    # Plain numbers: operations on single elements of an array take three times as long.
    corners: list[list[float]] = lines.tolist()
    tiles = [
        _tile(sample, size, corners, (number % grid, number // grid), view)
        for number, sample in enumerate(samples)
    ]
    return [tile for tile in tiles if tile is not None]


def _tile(
    sample: Sample,
    size: ImageSize,
    lines: Sequence[Sequence[float]],
    cell: tuple[int, int],
    view: np.ndarray,
) -> Tile | None:
    """Return the tile of one image in its cell of the mosaic, or None if nothing is visible.

    The image touches the edge of its cell that is nearer to the center of the scene, so that the
    images of a mosaic adjoin; in a middle row or column it is centered.
    """
    height, width = size_of(sample)
    fit = min(size[0] / height, size[1] / width)
    sides, last = (width, height), len(lines) - 2
    offset, window = [0.0, 0.0], [0, 0, width, height]
    for axis in (0, 1):
        low, high = lines[cell[axis]][axis], lines[cell[axis] + 1][axis]
        length = sides[axis] * fit
        start = high - length if cell[axis] == 0 else low
        if 0 < cell[axis] < last:
            start = (low + high - length) / 2
        offset[axis] = start
        # The window is the part of the image inside the cell. 1e-6 keeps rounding errors of the
        # division from adding a row of pixels beyond the cell.
        window[axis] = min(max(math.floor((low - start) / fit + 1e-6), 0), sides[axis])
        window[axis + 2] = min(max(math.ceil((high - start) / fit - 1e-6), 0), sides[axis])
    if window[2] <= window[0] or window[3] <= window[1]:
        return None
    placed = np.array([[fit, 0, offset[0]], [0, fit, offset[1]], [0, 0, 1]])
    return Tile(sample, (window[0], window[1], window[2], window[3]), view @ placed)
