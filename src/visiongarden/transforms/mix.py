"""Combine two images or hide a part of one: mix-up, copy-paste and cutout for detection."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from visiongarden.samples import masks
from visiongarden.transforms.tile import GRAY, joined, keep
from visiongarden.types import Example, Polygons


def mixup(one: Example, other: Example, random: np.random.Generator) -> Example:
    """Blend two images of the same size and keep the labels of both (mix-up: Zhang et al. 2018).

    The ratio is sampled from Beta(32, 32), so both images stay clearly visible.
    """
    ratio = random.beta(32, 32)
    a, b = np.asarray(one.image), np.asarray(other.image)
    return joined([one, other], np.asarray(cv2.addWeighted(a, ratio, b, 1 - ratio, 0), np.uint8))


def copy_paste(
    example: Example,
    donor: Example,
    min_visibility: float,
    capacity: int,
    random: np.random.Generator,
) -> Example:
    """Paste random objects of another image of the same size (copy-paste: Ghiasi et al. 2021).

    Each object of the donor is pasted with probability 0.5. The covered area is removed from the
    polygons and boxes of the objects below; an object with less than `min_visibility` of its area
    left is removed.

    Args:
        example: image to paste into.
        donor: image whose objects are pasted; crowds and objects without polygons are excluded.
        min_visibility: smallest visible fraction of an object's area, 0 to 1.
        capacity: largest number of objects to paste.
        random: random number generator.
    """
    crowd = donor.crowd if donor.crowd is not None else np.zeros(len(donor.boxes), bool)
    offered = [i for i, o in enumerate(donor.polygons or ()) if o is not None and not crowd[i]]
    chosen = [i for i in offered if random.random() < 0.5][:capacity]
    if not chosen:
        return example
    image = np.asarray(example.image)
    mask = np.zeros(image.shape[:2], bool)
    for i in chosen:
        mask |= masks.fill(donor.polygons[i], mask.shape)  # type: ignore[index, arg-type]
    pasted = keep(donor, np.isin(np.arange(len(donor.boxes)), chosen))
    below = covered(example, mask, min_visibility)
    return joined([below, pasted], np.where(mask[..., None], np.asarray(donor.image), image))


def covered(example: Example, mask: np.ndarray, min_visibility: float) -> Example:
    """Return the example with the labels of what stays visible below a mask (height, width)."""
    boxes, kept = example.boxes.copy(), np.ones(len(example.boxes), bool)
    remaining: list[Polygons | None] = list(example.polygons or [None] * len(boxes))
    for i, box in enumerate(boxes):
        (x1, y1), (x2, y2) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
        if not mask[y1:y2, x1:x2].any():
            continue
        polygons = remaining[i]
        if polygons is None:  # the box represents the object and is not cut
            kept[i] = 1 - mask[y1:y2, x1:x2].mean() >= min_visibility
            continue
        whole = masks.fill(polygons, mask.shape)
        visible = whole & ~mask
        remaining[i] = masks.polygons_of(visible)
        kept[i] = remaining[i] is not None and visible.sum() >= min_visibility * whole.sum()
        if kept[i]:
            box[:] = _box_of(visible)
    polygons_left = tuple(remaining) if example.polygons else None
    changed = replace(example, boxes=boxes, polygons=polygons_left, area=None, extra=None)
    return keep(changed, kept)


def _box_of(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def cutout(
    example: Example, max_side: float, min_visibility: float, random: np.random.Generator
) -> Example:
    """Hide a random gray square of the image (cutout: DeVries and Taylor 2017).

    A box with less than `min_visibility` of its area left is removed. The other boxes are
    unchanged, because a partly hidden object still extends below the square.

    Args:
        example: image with labels.
        max_side: largest side of the square, as a fraction of the image's shorter side.
        min_visibility: smallest visible fraction of a box's area, 0 to 1.
        random: random number generator.
    """
    image = np.asarray(example.image).copy()
    height, width = image.shape[:2]
    side = max(round(random.uniform(0.1, 1) * max_side * min(height, width)), 1)
    x, y = random.integers(-side // 2, np.array([width, height]) - side // 2)
    square = np.clip([x, y, x + side, y + side], 0, [width, height, width, height])
    image[square[1] : square[3], square[0] : square[2]] = GRAY
    low = np.maximum(example.boxes[:, :2], square[:2])
    high = np.minimum(example.boxes[:, 2:], square[2:])
    hidden = np.maximum(high - low, 0).prod(axis=1)
    whole = (example.boxes[:, 2:] - example.boxes[:, :2]).prod(axis=1)
    kept = 1 - hidden / np.maximum(whole, 1e-9) >= min_visibility
    return keep(replace(example, image=image), kept)
