"""Four images in one: Bochkovskiy et al. 2020 (YOLOv4), section 3.4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from visiongarden.data.augment.affine import keep
from visiongarden.types import Example, ImageSize


def mosaic(
    examples: Sequence[Example],
    size: ImageSize,
    random: np.random.Generator,
    scale: float,
    translate: float,
    least_visible: float,
) -> Example:
    """Four images meet at a point of the canvas, each scaled on its own.

    The four quarters are drawn straight onto the canvas, instead of onto one of twice the size that
    is then cut and scaled: the same pictures at a fraction of the work.

    Args:
        examples: four, with decoded images.
        size: (height, width) of the canvas.
        random: where the numbers come from.
        scale: most change of size.
        translate: most shift of the meeting point from the middle, share of the sides; a quarter
            more is added, so that the four parts differ in size.
        least_visible: share of a box's area that must be in view.
    """
    height, width = size
    canvas = np.full((height, width, 3), 114, np.uint8)
    away = random.uniform(-1, 1, 2) * (0.25 + translate)
    x, y = round(width * (0.5 + away[0])), round(height * (0.5 + away[1]))
    x, y = int(np.clip(x, 1, width - 1)), int(np.clip(y, 1, height - 1))
    factor = random.uniform(1 - scale, 1 + scale)
    parts = [
        _quarter(canvas, example, corner, (x, y), factor, least_visible)
        for example, corner in zip(examples, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True)
    ]
    crowds = [p.crowd if p.crowd is not None else np.zeros(len(p.boxes), bool) for p in parts]
    return replace(
        examples[0],
        image=canvas,
        boxes=np.concatenate([part.boxes for part in parts]),
        classes=np.concatenate([part.classes for part in parts]),
        crowd=np.concatenate(crowds),
    )


def _quarter(
    canvas: np.ndarray,
    example: Example,
    corner: tuple[int, int],
    meeting: tuple[int, int],
    factor: float,
    least_visible: float,
) -> Example:
    """Draws one image into its quarter, its inner corner at the meeting point."""
    image = np.asarray(example.image)
    rows, columns = image.shape[:2]
    ratio = min(canvas.shape[0] / rows, canvas.shape[1] / columns) * factor
    left = meeting[0] - (columns * ratio if corner[0] == 0 else 0)
    top = meeting[1] - (rows * ratio if corner[1] == 0 else 0)
    x1, x2 = (0, meeting[0]) if corner[0] == 0 else (meeting[0], canvas.shape[1])
    y1, y2 = (0, meeting[1]) if corner[1] == 0 else (meeting[1], canvas.shape[0])
    matrix = np.array([[ratio, 0, left - x1], [0, ratio, top - y1]], np.float64)
    cv2.warpAffine(
        image,
        matrix,
        (x2 - x1, y2 - y1),
        dst=(part := np.empty((y2 - y1, x2 - x1, 3), np.uint8)),
        flags=cv2.INTER_LINEAR,
        borderValue=(114, 114, 114),
    )
    canvas[y1:y2, x1:x2] = part
    boxes = example.boxes * ratio + np.array([left, top, left, top])
    limits = np.array([[x1, y1, x1, y1], [x2, y2, x2, y2]], np.float64)
    cut = np.clip(boxes, *limits)
    sides, whole = cut[:, 2:] - cut[:, :2], boxes[:, 2:] - boxes[:, :2]
    kept = (sides.prod(axis=1) >= least_visible * whole.prod(axis=1)) & (sides >= 2).all(axis=1)
    return keep(replace(example, boxes=cut.astype(np.float32)), kept)
