"""`check_anchors`: refuse anchors of which no object of the training split has the size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from visiongarden.data import Dataset
from visiongarden.errors import UserError, option, spelled
from visiongarden.heads import CombinedHeads
from visiongarden.models import Joined
from visiongarden.parts import Head, OfAnchors
from visiongarden.transforms import Resizing
from visiongarden.types import ImageSize

Spelling = Callable[[str | None, str, Any], str]


def check_anchors(model: Joined, dataset: Any, spelling: Spelling | None = None) -> None:
    """Refuse a head with anchors if they are too large or too small for every object.

    Sizes are compared at the image size of the model, without transforms. Crowd regions,
    which are not trained on, do not count.

    Args:
        model: Model with its image size.
        dataset: Training split; another object than a `Dataset` is not checked.
        spelling: Returns how a field is spelled, from the name of the head, None if it is the only
            one, the name of the field and its value.

    Raises:
        UserError: No object has an anchor of similar size.
    """
    size = model.image_size
    if not isinstance(dataset, Dataset) or size is None:
        return
    levels = tuple(model.context().levels)
    for name, head in _heads(model.parts.head):
        if isinstance(head, OfAnchors):
            with nullcontext() if spelling is None else spelled(partial(spelling, name)):
                _check(head, head.levels or levels, dataset, model.resize, size)


def _heads(head: Head) -> Iterator[tuple[str | None, Head]]:
    if isinstance(head, CombinedHeads):
        yield from head.heads.items()
    else:
        yield None, head


def _check(
    head: Any, levels: tuple[str, ...], dataset: Dataset, resize: Resizing, size: ImageSize
) -> None:
    least = head.chosen_assigner().min_overlap
    anchors = np.concatenate([head.anchor_shapes(level) for level in levels])
    found = []
    for row in dataset.rows():
        sides = _sides(row, resize, size)
        # An object with an anchor is enough, and usually one of the first image.
        if least <= 0 or (overlaps(sides, anchors).max(axis=1, initial=0) >= least).any():
            return
        found.append(sides)
    sides = np.concatenate([*found, np.zeros((0, 2), np.float32)])
    if not len(sides):
        return
    middle, best = np.median(sides, axis=0), overlaps(sides, anchors).max()
    low, high = (_pixels(anchors[i]) for i in _extremes(anchors))
    raise UserError(
        f"no object of the training split matches an anchor of {type(head).__name__}",
        rule=f"some object whose shape has an IoU of at least {least:g} with an anchor, at the "
        f"image size of the model, {size[0]} × {size[1]}",
        received=f"anchors of {low} to {high} pixels; {len(sides)} objects of {_pixels(middle)} "
        f"pixels (median), IoU {best:.2f} at most",
        fix=_fix(head, sides, levels),
    )


def _fix(head: OfAnchors, sides: np.ndarray, levels: tuple[str, ...]) -> str:
    """Return the fields of a head with anchors that fit."""
    return " ".join(map(option, *zip(*head.fitting_anchors(sides, levels).items(), strict=True)))


def _sides(row: Any, resize: Resizing, size: ImageSize) -> np.ndarray:
    """Return (width, height) of the objects of an image at the size of the model."""
    boxes = row.upright[~row.crowd]
    vertical, horizontal = resize.ratios(row.size, size)
    sides = (boxes[:, 2:] - boxes[:, :2]) * np.array([horizontal, vertical])
    return np.asarray(np.minimum(sides, [size[1], size[0]]), np.float32)


def overlaps(sides: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes and anchors with the same center, (n, anchors).

    Args:
        sides: (n, 2), width and height of the boxes.
        anchors: (anchors, 2), width and height.
    """
    shared = np.minimum(sides[:, None], anchors).prod(axis=-1)
    areas = sides.prod(axis=-1)[:, None] + anchors.prod(axis=-1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


def _extremes(anchors: np.ndarray) -> tuple[int, int]:
    areas = anchors.prod(axis=1)
    return int(areas.argmin()), int(areas.argmax())


def _pixels(side: np.ndarray) -> str:
    return f"{side[0]:.0f} × {side[1]:.0f}"
