"""`check_anchors`: refuse or report anchors that do not fit the objects of the training split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from visiongarden.data import Dataset
from visiongarden.errors import UserError, option, spelled
from visiongarden.heads import CombinedHeads
from visiongarden.models import Joined
from visiongarden.ops import shape_overlaps
from visiongarden.parts import Head, OfAnchors
from visiongarden.transforms import Resizing
from visiongarden.types import ImageSize

Spelling = Callable[[str | None, str, Any], str]

_SIMILAR = 0.5
"""Minimum IoU of an object and an anchor of similar shape, as for the positives of RetinaNet."""

_SHARE = 0.5
"""Minimum share of the objects that match an anchor; a smaller one is reported."""

_IMAGES = 1000
"""Maximum number of images whose objects are compared; if none matches, all images are used."""


def check_anchors(model: Joined, dataset: Any, spelling: Spelling | None = None) -> list[str]:
    """Refuse a head with anchors if they are too large or too small for every object.

    Sizes are compared at the image size of the model, without transforms. Crowd regions,
    which are not trained on, do not count.

    Args:
        model: Model with its image size.
        dataset: Training split; another object than a `Dataset` is not checked.
        spelling: Returns how a field is spelled, from the name of the head, None if it is the only
            one, the name of the field and its value.

    Returns:
        A warning for each head whose anchors match fewer than half of the objects, if other anchors
        would match more.

    Raises:
        UserError: No object has an anchor of similar size.
    """
    size = model.image_size
    if not isinstance(dataset, Dataset) or size is None:
        return []
    levels, warnings = tuple(model.context().levels), []
    for name, head in _heads(model.parts.head):
        if isinstance(head, OfAnchors):
            with nullcontext() if spelling is None else spelled(partial(spelling, name)):
                warnings += _check(head, head.levels or levels, dataset, model.resize, size)
    return warnings


def _heads(head: Head) -> Iterator[tuple[str | None, Head]]:
    if isinstance(head, CombinedHeads):
        yield from head.heads.items()
    else:
        yield None, head


def _check(
    head: Any, levels: tuple[str, ...], dataset: Dataset, resize: Resizing, size: ImageSize
) -> list[str]:
    least = head.chosen_assigner().min_overlap
    if least <= 0:
        return []
    # A sample of the images usually contains an object that matches.
    sample = range(0, len(dataset), -(-len(dataset) // _IMAGES) or 1)
    some = _sides(dataset, sample, resize, size)
    anchors = _anchors(head, levels)
    if (_best(some, anchors) >= least).any():
        return _warnings(head, levels, some)
    sides = _sides(dataset, range(len(dataset)), resize, size)
    best = _best(sides, anchors)
    if not len(sides) or best.max() >= least:
        return []
    low, high = _range(anchors)
    raise UserError(
        f"no object of the training split matches an anchor of {type(head).__name__}",
        rule=f"some object whose shape has an IoU of at least {least:g} with an anchor, at the "
        f"image size of the model, {size[0]} × {size[1]}",
        received=f"anchors of {low} to {high} pixels; {len(sides)} objects of "
        f"{_pixels(np.median(sides, axis=0))} pixels (median), IoU {best.max():.2f} at most",
        fix=_fix(head.fitting_anchors(sides, levels)),
    )


def _warnings(head: Any, levels: tuple[str, ...], sides: np.ndarray) -> list[str]:
    """Return a warning if few objects match an anchor, and more would match the proposed ones."""
    anchors = _anchors(head, levels)
    share = _share(sides, anchors)
    if share >= _SHARE:
        return []
    fields = head.fitting_anchors(sides, levels)
    better = _share(sides, _anchors(head.replace(**fields), levels))
    if better <= share:
        return []
    low, high = _range(anchors)
    return [
        f"only {share:.0%} of the objects match the size of an anchor of {type(head).__name__} "
        f"(IoU of the shapes at least {_SIMILAR}), and objects that do not are learned poorly: "
        f"anchors of {low} to {high} pixels, objects of {_pixels(np.median(sides, axis=0))} "
        f"(median); {better:.0%} would match with {_fix(fields)}"
    ]


def _anchors(head: OfAnchors, levels: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([head.anchor_shapes(level) for level in levels])


def _best(sides: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return the IoU of each object with the anchor of the most similar shape."""
    return shape_overlaps(sides, anchors).max(axis=1, initial=0)


def _share(sides: np.ndarray, anchors: np.ndarray) -> float:
    return float((_best(sides, anchors) >= _SIMILAR).mean())


def _fix(fields: Mapping[str, Any]) -> str:
    """Return fields of the head as the user writes them."""
    return " ".join(map(option, *zip(*fields.items(), strict=True)))


def _sides(
    dataset: Dataset, indices: Iterable[int], resize: Resizing, size: ImageSize
) -> np.ndarray:
    """Return the (width, height) of all objects in these images, scaled to the model's size."""
    found = [np.zeros((0, 2))]
    for row in map(dataset.row, indices):
        boxes = row.upright[~row.crowd]
        vertical, horizontal = resize.ratios(row.size, size)
        sides = (boxes[:, 2:] - boxes[:, :2]) * np.array([horizontal, vertical])
        found.append(np.minimum(sides, [size[1], size[0]]))
    return np.concatenate(found).astype(np.float32)


def _range(anchors: np.ndarray) -> tuple[str, str]:
    """Return the sides of the smallest and of the largest anchor."""
    areas = anchors.prod(axis=1)
    return _pixels(anchors[areas.argmin()]), _pixels(anchors[areas.argmax()])


def _pixels(side: np.ndarray) -> str:
    return f"{side[0]:.0f} × {side[1]:.0f}"
