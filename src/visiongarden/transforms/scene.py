"""Place one image, or a mosaic of four or nine, on the canvas under a random transform.

Images are first placed in a scene, whose center is (0, 0) and whose unit is a pixel of the canvas.
A random matrix then maps the scene to the canvas. Both are multiplied into one matrix for each
image, so that pixels are resampled only once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visiongarden.transforms.augmentation import Augmentation
from visiongarden.transforms.tile import Tile, compose
from visiongarden.types import Example, ImageSize


def single(
    example: Example, size: ImageSize, settings: Augmentation, random: np.random.Generator
) -> Example:
    """Fit an image, or a random crop of it, into the canvas and transform it.

    Args:
        example: example with a decoded image.
        size: (height, width) of the canvas.
        settings: ranges of the transform.
        random: random number generator.

    Returns:
        The example in pixels of the canvas, with the labels that are visible.
    """
    height, width = np.asarray(example.image).shape[:2]
    window = (0, 0, width, height)
    if settings.crop and random.random() < settings.crop:
        window = _part(width, height, settings.min_crop, random)
    x1, y1, x2, y2 = window
    fit = min(size[0] / (y2 - y1), size[1] / (x2 - x1))
    placed = _scaled(fit, -fit * (x1 + x2) / 2, -fit * (y1 + y2) / 2)
    view = view_of(size, settings, random)
    return compose([Tile(example, window, view @ placed)], size, settings.min_visibility)


def _part(
    width: int, height: int, min_side: float, random: np.random.Generator
) -> tuple[int, int, int, int]:
    share = random.uniform(min_side, 1, 2)
    sides = np.maximum(np.round(share * (width, height)), 1).astype(int)
    x, y = random.integers(0, np.array([width, height]) - sides + 1)
    return int(x), int(y), int(x + sides[0]), int(y + sides[1])


def mosaic(
    examples: Sequence[Example],
    size: ImageSize,
    settings: Augmentation,
    random: np.random.Generator,
) -> Example:
    """Combine four or nine images (mosaic: Bochkovskiy et al. 2020, YOLOv4, section 3.4).

    Four images fill a scene of twice the canvas sides. They meet in a random point, on each axis at
    most a quarter of the scene's side away from its center. Nine images fill a scene of three times
    the canvas sides, which is shown at 2/3 of the scale of a single image.

    Args:
        examples: four or nine examples with decoded images, row by row.
        size: (height, width) of the canvas.
        settings: ranges of the transform.
        random: random number generator.

    Returns:
        One example in pixels of the canvas, with the labels that are visible.
    """
    across = {4: 2, 9: 3}[len(examples)]
    sides = np.array([size[1], size[0]], np.float64)
    if across == 2:
        meeting = random.uniform(-0.5, 0.5, 2) * sides
        lines = np.stack([-sides, meeting, sides])
        view = view_of(size, settings, random, extent=2.0)
    else:
        away = random.uniform(-0.25, 0.25, 2) * sides
        lines = np.stack([-1.5 * sides, away - sides / 2, away + sides / 2, 1.5 * sides])
        view = view_of(size, settings, random, extent=3.0, factor=2 / 3)
    tiles = [
        _tile(example, size, lines, (number % across, number // across), view)
        for number, example in enumerate(examples)
    ]
    return compose([tile for tile in tiles if tile], size, settings.min_visibility)


def _tile(
    example: Example,
    size: ImageSize,
    lines: np.ndarray,
    cell: tuple[int, int],
    view: np.ndarray,
) -> Tile | None:
    """Return the tile of one image in its cell of the mosaic, or None if it is not visible.

    The image touches the edge of its cell that is nearer to the center of the scene, so that the
    images of a mosaic adjoin; in a middle row or column it is centered.
    """
    height, width = np.asarray(example.image).shape[:2]
    fit = min(size[0] / height, size[1] / width)
    sides, last = (width, height), len(lines) - 2
    offset, window = [0.0, 0.0], [0, 0, width, height]
    for axis in (0, 1):
        low, high = lines[cell[axis], axis], lines[cell[axis] + 1, axis]
        long = sides[axis] * fit
        at = high - long if cell[axis] == 0 else low
        if 0 < cell[axis] < last:
            at = (low + high - long) / 2
        offset[axis] = at
        # The window is the part of the image inside the cell. 1e-6 keeps rounding errors of the
        # division from adding a row of pixels beyond the cell.
        window[axis] = int(np.clip(np.floor((low - at) / fit + 1e-6), 0, sides[axis]))
        window[axis + 2] = int(np.clip(np.ceil((high - at) / fit - 1e-6), 0, sides[axis]))
    if window[2] <= window[0] or window[3] <= window[1]:
        return None
    x1, y1, x2, y2 = window
    return Tile(example, (x1, y1, x2, y2), view @ _scaled(fit, *offset))


def view_of(
    size: ImageSize,
    settings: Augmentation,
    random: np.random.Generator,
    extent: float = 1.0,
    factor: float = 1.0,
) -> np.ndarray:
    """Sample a matrix from the scene to the canvas: scale, shear, rotation, perspective and shift.

    Args:
        size: (height, width) of the canvas.
        settings: ranges of the transform.
        random: random number generator.
        extent: side of the scene, in sides of the canvas.
        factor: factor on the sampled scale.

    Returns:
        float (3, 3), homogeneous coordinates.
    """
    height, width = size
    scale = factor * random.uniform(1 - settings.scale, 1 + settings.scale)
    matrix = np.diag([scale, scale, 1.0])
    if settings.shear:
        slant = np.tan(np.deg2rad(random.uniform(-settings.shear, settings.shear, 2)))
        matrix = np.array([[1, slant[0], 0], [slant[1], 1, 0], [0, 0, 1]]) @ matrix
    if settings.degrees:
        angle = np.deg2rad(random.uniform(-settings.degrees, settings.degrees))
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) @ matrix
    if settings.perspective:
        # The depth is 1 at the center of the scene and 1 ± `perspective` at its border, whatever
        # the size of the canvas.
        depth = random.uniform(-settings.perspective, settings.perspective, 2)
        matrix[2, :2] = depth / (extent * np.array([width, height]) / 2)
    shift = random.uniform(-settings.translate, settings.translate, 2) * (width, height)
    middle = np.array([width / 2, height / 2]) + shift
    return np.array([[1, 0, middle[0]], [0, 1, middle[1]], [0, 0, 1]]) @ matrix


def _scaled(factor: float, x: float, y: float) -> np.ndarray:
    return np.array([[factor, 0, x], [0, factor, y], [0, 0, 1]], np.float64)
