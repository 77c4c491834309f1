"""Cut the objects of an image at its border, and remove those of which too little is visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visiongarden.samples import Boxes, Instances, Keypoints, Masks
from visiongarden.transforms.rendering import Window, is_upright
from visiongarden.types import ImageSize

MIN_SIDE = 2.0
"""Smallest side of a visible box in pixels; a narrower box shows nothing that can be learned."""


_WHOLE = 1 - 1e-6
"""Visible fraction from which an object is not cut; coordinates at the border are rounded."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Objects inside a canvas.

    Attributes:
        instances: objects that are still visible, clipped to the canvas.
        share: fraction of each object that is visible, (n,); None: all are wholly visible.
    """

    instances: Instances
    share: np.ndarray | None


def cut(instances: Instances, share: np.ndarray | None) -> Kept:
    """Cut objects at the border of their canvas and remove those outside."""
    found = fractions(instances, share)
    if found is None or _is_inside(instances, found):
        return Kept(instances, share)
    keep = found > 0
    if not keep.all():
        instances, found = instances[keep], found[keep]
    return Kept(instances.replace(**_clipped(instances)), found)


def cut_to_window(instances: Instances, window: tuple[int, int, int, int]) -> Kept | None:
    """Cut boxes at a part of the image, xyxy; None if there is more than boxes with an area.

    This is `cut` of moved objects, in a third of the time.
    """
    boxes = instances.boxes
    if instances.masks is not None or instances.keypoints is not None:
        return None
    if not isinstance(boxes, Boxes) or not len(boxes):
        return None
    array = np.asarray(boxes, np.float64)
    sides = array[:, 2:] - array[:, :2]
    if sides.min() <= 0:
        return None
    low, high = np.array(window[:2] * 2, np.float64), np.array(window[2:] * 2, np.float64)
    seen = np.minimum(np.maximum(array, low), high)
    if (seen == array).all():
        return Kept(instances, None)
    found = (seen[:, 2:] - seen[:, :2]).prod(axis=1) / sides.prod(axis=1)
    cut = instances.replace(boxes=Boxes(seen))
    keep = found > 0
    return Kept(cut, found) if keep.all() else Kept(cut[keep], found[keep])


def cut_together(
    parts: Sequence[tuple[Instances, Window, np.ndarray]], size: ImageSize
) -> Kept | None:
    """Cut the boxes of several images at parts of them, and move them to one canvas.

    This is `cut_to_window` and `move` of each image, in a fifth of the time.

    Args:
        parts: objects of an image; the part of the image that is shown, xyxy; and the matrix
            (3, 3) from pixels of the image to pixels of the canvas.
        size: (height, width) of the canvas.

    Returns:
        The objects on the canvas; None if there is more than boxes with an area, or if a matrix
        does more than scale and shift.
    """
    filled = [part for part in parts if len(part[0])]
    if len(filled) < 2 or not all(_has_boxes_alone(found) for found, _, _ in filled):
        return None
    if len({found.area is None for found, _, _ in filled}) > 1:
        return None
    if not all(is_upright(matrix) for _, _, matrix in filled):
        return None
    array = np.concatenate([np.asarray(found.boxes) for found, _, _ in filled]).astype(np.float64)
    sides = array[:, 2:] - array[:, :2]
    if sides.min() <= 0:
        return None
    counts = [len(found) for found, _, _ in filled]
    bounds = np.repeat([window for _, window, _ in filled], counts, axis=0)
    seen = np.minimum(np.maximum(array, bounds[:, [0, 1, 0, 1]]), bounds[:, [2, 3, 2, 3]])
    share = (seen[:, 2:] - seen[:, :2]).prod(axis=1) / sides.prod(axis=1)
    places = np.repeat([(m[0, 0], m[1, 1], m[0, 2], m[1, 2]) for _, _, m in filled], counts, axis=0)
    # Rounded to float32 between the steps, as boxes are.
    moved = seen.astype(np.float32) * places[:, [0, 1, 0, 1]] + places[:, [2, 3, 2, 3]]
    whole = Instances.concatenate([found for found, _, _ in filled], size)
    changes: dict[str, Any] = {"boxes": Boxes(moved)}
    if whole.area is not None:
        changes["area"] = whole.area * (places[:, 0] * places[:, 1])
    whole, keep = whole.replace(**changes), share > 0
    return Kept(whole, share) if keep.all() else Kept(whole[keep], share[keep])


def _has_boxes_alone(instances: Instances) -> bool:
    """Return whether the objects have upright boxes, and neither masks, keypoints nor columns."""
    others = (instances.masks, instances.keypoints, instances.scores)
    return (
        isinstance(instances.boxes, Boxes)
        and not instances.data
        and all(other is None for other in others)
    )


def visible(
    instances: Instances,
    share: np.ndarray | None,
    min_visibility: float,
    min_side: float,
    refit: bool = True,
) -> Kept:
    """Clip objects to their canvas, and remove those of which too little is visible.

    Boxes of objects with masks become the boxes around the visible parts of the masks. The area of
    objects that are cut is not known, and is removed.

    Args:
        instances: objects, which may reach beyond the canvas.
        share: fraction of each object that earlier cuts left; None: 1.
        min_visibility: smallest visible fraction of an object that is kept.
        min_side: smallest side of a box that is kept, in pixels.
        refit: whether boxes are refitted to masks that are not cut, as after a rotation.
    """
    found = fractions(instances, share)
    if found is None:
        return Kept(instances, share)
    keep = (found > 0) & (found >= min_visibility)
    if not keep.all():
        instances, found = instances[keep], found[keep]
    changes = _clipped(instances)
    if isinstance(instances.masks, Masks) and isinstance(instances.boxes, Boxes):
        chosen = np.ones(len(instances), bool) if refit else found < _WHOLE
        changes["boxes"] = _refitted(instances.boxes.clip(instances.size), changes["masks"], chosen)
    if instances.area is not None and (found < _WHOLE).any():
        changes["area"] = None
    instances = instances.replace(**changes)
    if min_side:
        wide = _sides(instances) >= min_side
        if not wide.all():
            instances, found = instances[wide], found[wide]
    return Kept(instances, found)


def fractions(instances: Instances, share: np.ndarray | None) -> np.ndarray | None:
    """Return the visible fraction of each object (n,), or None if nothing shows where they are.

    Masks decide, of objects without a mask boxes, and keypoints only where there is neither.
    """
    if not len(instances):
        return None
    size, masks, points = instances.size, instances.masks, instances.keypoints
    found = None
    if instances.boxes is not None:
        found = instances.boxes.visible_fraction(size)
    elif masks is None and points is not None:
        found = points.visible_fraction(size)
    if found is not None and share is not None:
        found = found * share
    if masks is None:
        return found
    visible = masks.visible_fraction(size)
    if not isinstance(masks, Masks):
        return visible if share is None else visible * share
    # `Masks` remember what earlier cuts removed.
    return visible if found is None else np.where(masks.present(), visible, found)


def _is_inside(instances: Instances, found: np.ndarray) -> bool:
    """Return whether nothing of the objects is outside their canvas."""
    if (found < 1).any():
        return False
    size = instances.size
    if instances.boxes is not None and (instances.boxes.visible_fraction(size) < 1).any():
        return False
    points = instances.keypoints
    return points is None or bool((points.visible_fraction(size) >= 1).all())


def _clipped(instances: Instances) -> dict[str, Any]:
    """Return the fields without what is outside the canvas, whose pixels are lost."""
    changes: dict[str, Any] = {}
    if instances.boxes is not None:
        changes["boxes"] = instances.boxes.clip(instances.size)
    if isinstance(instances.masks, Masks):
        changes["masks"] = instances.masks.clip()
    if isinstance(instances.keypoints, Keypoints):
        changes["keypoints"] = instances.keypoints.resolved(instances.size)
    return changes


def _refitted(boxes: Boxes, masks: Masks, chosen: np.ndarray) -> Boxes:
    """Return the boxes around masks, for the chosen objects (n,) that have one."""
    if not chosen.any():
        return boxes
    around, array = masks.boxes(), np.asarray(boxes)
    fits = chosen & (around[:, 2:] > around[:, :2]).all(axis=1)
    return Boxes(np.where(fits[:, None], around, array))


def _sides(instances: Instances) -> np.ndarray:
    """Return the shorter side of each object's box (n,), infinite if there are no boxes."""
    if isinstance(instances.boxes, Boxes):
        array = np.asarray(instances.boxes)
        return np.asarray((array[:, 2:] - array[:, :2]).min(axis=1, initial=np.inf))
    if instances.boxes is not None:
        return np.asarray(instances.boxes)[:, 2:4].min(axis=1, initial=np.inf)
    if isinstance(instances.masks, Masks):
        array = instances.masks.boxes()
        sides = (array[:, 2:] - array[:, :2]).min(axis=1, initial=np.inf)
        return np.where(instances.masks.present(), sides, np.inf)
    return np.full(len(instances), np.inf)


def combined(parts: list[Instances], size: ImageSize) -> Instances:
    """Concatenate the objects of several images on one canvas.

    Objects of an image without masks or keypoints get none. A column of areas or scores that an
    image lacks is removed.
    """
    filled = [part for part in parts if len(part)]
    if not filled:
        # One part, so that an image without objects keeps the types of its fields.
        return parts[0] if parts else Instances.empty(size)
    if len(filled) == 1:
        return filled[0]
    if len({part.area is None for part in filled}) > 1:
        filled = [part.replace(area=None) for part in filled]
    if len({part.scores is None for part in filled}) > 1:
        filled = [part.replace(scores=None) for part in filled]
    if any(isinstance(part.masks, Masks) for part in filled):
        filled = [
            part if part.masks is not None else part.replace(masks=_no_masks(len(part), size))
            for part in filled
        ]
    scheme = next((p.keypoints for p in filled if isinstance(p.keypoints, Keypoints)), None)
    if scheme is not None:
        filled = [
            part
            if part.keypoints is not None
            else part.replace(keypoints=_no_keypoints(len(part), scheme))
            for part in filled
        ]
    return Instances.concatenate(filled)


def _no_masks(count: int, size: ImageSize) -> Masks:
    return Masks.from_polygons([None] * count, size)


def _no_keypoints(count: int, scheme: Keypoints) -> Keypoints:
    values = np.zeros((count, scheme.values.shape[1], 3), np.float32)
    return Keypoints(values, scheme.names, scheme.pairs, scheme.skeleton)
