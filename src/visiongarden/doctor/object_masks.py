"""Checks of the masks of objects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import TOLERANCE, Finding
from visiongarden.data.rows import Row, objects_without_mask
from visiongarden.samples import masks
from visiongarden.types import Polygons

FAR = 0.05
"""How far a mask may reach beyond the image, as a fraction of the longer side, before a warning."""


def of_masks(dataset: Dataset, split: str) -> Iterator[Finding]:
    """Find missing and empty masks, masks that exceed their box, and masks far outside the image.

    Datasets without any mask are for other tasks.

    Args:
        dataset: valid part of a split.
        split: name of the split.
    """
    if "masks" not in dataset.fields:
        return
    for index, row in enumerate(dataset.rows()):
        for i in objects_without_mask(row).tolist():
            what = "has no mask, which instance segmentation needs"
            yield Finding("warning", "mask-missing", dataset.location(index, i), what, split)
        for i, polygons in enumerate(row.polygons or ()):
            if polygons is None:
                continue
            found = _of_mask(row, i, polygons)
            if found is not None:
                kind, what = found
                yield Finding("warning", kind, str(row.path), f"the mask of object {what}", split)


def _of_mask(row: Row, index: int, polygons: Polygons) -> tuple[str, str] | None:
    """Return the kind of the finding about a mask and what is wrong; None if nothing is."""
    height, width = row.size
    inside = masks.cut(polygons, (0.0, 0.0, float(width), float(height)))
    if inside is None or masks.area_of(inside) <= 0:
        return "mask-empty", f"{index + 1} covers no area of the image"
    around = np.array(masks.box_of(polygons))
    beyond = float(np.maximum(-around[:2], around[2:] - (width, height)).max())
    if beyond > max(TOLERANCE, FAR * max(row.size)):
        return "mask-outside", f"{index + 1} reaches {beyond:.0f} pixels beyond the image"
    if row.boxes.shape[1] == 5:
        return None
    box = row.boxes[index].astype(np.float64)
    part = np.array(masks.box_of(inside))  # boxes are clipped to the image, too
    off = float(np.maximum(box[:2] - part[:2], part[2:] - box[2:]).max())
    if off > TOLERANCE:
        shown = ", ".join(f"{v:g}" for v in box.round(1))
        return "mask-box", f"{index + 1} reaches {off:.1f} pixels beyond its box ({shown})"
    return None
