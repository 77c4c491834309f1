"""Hide parts of the objects of an image, as another image or a square covers them."""

from __future__ import annotations

import numpy as np

from visiongarden.samples import Boxes, Instances, Keypoints, Masks, RotatedBoxes


def covered(
    instances: Instances, hidden: np.ndarray, min_visibility: float, cut: bool = True
) -> Instances:
    """Return what is left of objects below a mask.

    An object with too little left is removed. Keypoints below the mask become hidden. The mask of
    an object decides, and without a mask its box, which represents the object and is not cut.

    Args:
        instances: the objects.
        hidden: bool (height, width).
        min_visibility: smallest visible fraction of an object that is kept, of what was visible
            before.
        cut: whether the hidden part is removed from masks, and boxes are refitted to them.
    """
    if not len(instances) or not hidden.any():
        return instances
    left, masks = _left(instances, hidden)
    changes: dict[str, object] = {}
    touched = left < 1
    if cut and masks is not None and touched.any():
        changes["masks"] = masks
        if isinstance(instances.boxes, Boxes):
            around, fits = masks.boxes(), touched & masks.present()
            changes["boxes"] = Boxes(np.where(fits[:, None], around, np.asarray(instances.boxes)))
        if instances.area is not None:
            changes["area"] = None
    if isinstance(instances.keypoints, Keypoints):
        changes["keypoints"] = _hidden(instances.keypoints, hidden)
    changed = instances.replace(**changes) if changes else instances
    keep = (left > 0) & (left >= min_visibility)
    return changed if keep.all() else changed[keep]


def _left(instances: Instances, hidden: np.ndarray) -> tuple[np.ndarray, Masks | None]:
    """Return the visible fraction of each object (n,), and the visible parts of the masks."""
    left = np.ones(len(instances))
    shapes = _shapes(instances)
    if shapes is None:
        return left, None
    masks = instances.masks if isinstance(instances.masks, Masks) else None
    order, parts = [], []
    for row, (x1, y1, x2, y2) in enumerate(shapes.boxes().tolist()):
        window = hidden[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))]
        if not window.any():
            continue
        pixels = shapes[row : row + 1].bitmaps()
        visible = pixels & ~hidden
        whole = int(pixels.sum())
        left[row] = visible.sum() / whole if whole else 1.0
        if masks is not None and left[row] < 1 and masks[row : row + 1].present()[0]:
            order.append(row)
            parts.append(Masks.from_bitmaps(visible))
    if masks is None or not parts:
        return left, masks
    rows = np.arange(len(masks))
    rows[order] = len(masks) + np.arange(len(parts))
    return left, Masks.concatenate([masks, *parts])[rows]


def _shapes(instances: Instances) -> Masks | None:
    """Return the shape of each object: its mask, or its box."""
    masks = instances.masks if isinstance(instances.masks, Masks) else None
    if instances.boxes is None:
        return masks
    polygons = Masks.from_polygons(list(_corners(instances.boxes)), instances.size).clip()
    if masks is None:
        return polygons
    rows = np.where(masks.present(), 0, len(masks)) + np.arange(len(masks))
    return Masks.concatenate([masks, polygons])[rows]


def _corners(boxes: Boxes | RotatedBoxes) -> np.ndarray:
    if isinstance(boxes, RotatedBoxes):
        return boxes.corners()
    return np.asarray(boxes)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def _hidden(points: Keypoints, hidden: np.ndarray) -> Keypoints:
    """Return keypoints of which those below a mask are labeled but hidden."""
    height, width = hidden.shape
    x, y, visibility = np.moveaxis(points.values, -1, 0)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (visibility > 0)
    column, row = (np.where(inside, axis, 0).astype(int) for axis in (x, y))
    values = points.values.copy()
    values[..., 2] = np.where(inside & hidden[row, column], 1, visibility)
    return Keypoints(values, points.names, points.pairs, points.skeleton)
