"""`TransformSubject`: a transform under test, its results and where they show each object."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from visiongarden import samples
from visiongarden.errors import UserError
from visiongarden.samples import Sample
from visiongarden.testing import marked_samples as marked
from visiongarden.testing.examples import examples_of
from visiongarden.transforms import Transform

_SAMPLES = Path(samples.__file__).parent
SEEDS = range(4)
_CONTRAST = 60.0
"""Smallest largest difference of gray levels, summed over three channels, of a visible object."""
_SPREAD = 16.0
"""A larger region, relative to the object, is a change of the whole image, not an object."""


@dataclass(frozen=True)
class Region:
    """Part of a result in which an object is visible.

    Attributes:
        mask: bool (height, width).
        box: xyxy around it, float (4,).
        share: number of pixels, as a fraction of the object's before the transform.
        touches: whether it touches the border of the image.
    """

    mask: np.ndarray
    box: np.ndarray
    share: float
    touches: bool


class TransformSubject:
    """A transform under test.

    Args:
        source: class or instance.
        config: fields for a class.

    Raises:
        UserError: the class cannot be constructed.
    """

    is_part = False

    def __init__(self, source: Any, config: dict[str, Any] | None = None) -> None:
        self.cls: type[Transform] = source if isinstance(source, type) else type(source)
        given = dict(examples_of(self.cls).get("config", {})) | (config or {})
        is_class = isinstance(source, type)
        if not is_class and given and config:
            raise UserError(
                f"fields of the instance {self.cls.__name__} cannot be changed",
                rule="fields together with a class",
                received=", ".join(config),
                fix=f"check({self.cls.__name__}, ...)",
            )
        self.transform: Transform = source(**given) if is_class else source
        self._results: dict[tuple[Any, ...], Any] = {}
        self._regions: dict[tuple[str, int, int], Region | None] = {}

    @property
    def value(self) -> Transform:
        """The transform."""
        return self.transform

    def rng(self, seed: int) -> np.random.Generator:
        """Return the generator of a seed."""
        return np.random.default_rng(seed)

    def run(self, sample: Sample, kind: str, seed: int = 0) -> Any:
        """Apply the transform; errors are raised."""
        pixels = sample.image
        assert pixels is not None  # noqa: S101  all marked samples have pixels
        is_rgb = pixels.dtype == np.uint8 and pixels.shape[2] == 3
        others = marked.image(shift=20) if is_rgb else pixels
        return self.transform.apply(sample, marked.MarkedContext(kind, others), self.rng(seed))

    def result(
        self,
        kind: str,
        seed: int,
        without: int | None = None,
        with_points: tuple[tuple[int, int], ...] = (),
    ) -> Sample:
        """Return the cached result of a marked sample; the arguments are those of `image`."""
        key = (kind, seed, without, with_points)
        if key not in self._results:
            pixels = marked.image(without, with_points)
            self._results[key] = self.run(marked.sample(kind, pixels), kind, seed)
        found: Sample = self._results[key]
        return found

    @cached_property
    def errors(self) -> dict[str, Exception]:
        """The error of each kind of sample on which the transform fails.

        A transform may refuse a kind of sample by a UserError.
        """
        found: dict[str, Exception] = {}
        for kind in marked.KINDS:
            try:
                self.result(kind, 0)
            except Exception as error:
                found[kind] = error
        return found

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of samples on which the transform runs."""
        return tuple(kind for kind in marked.KINDS if kind not in self.errors)

    @cached_property
    def object_kind(self) -> str | None:
        """The kind with the most fields of objects, or None if the transform takes no objects."""
        return next((kind for kind in ("objects", "boxes") if kind in self.kinds), None)

    def region(self, kind: str, seed: int, row: int) -> Region | None:
        """Return where the result shows an object, or None if it is not visible."""
        key = (kind, seed, row)
        if key not in self._regions:
            one, other = self.result(kind, seed), self.result(kind, seed, without=row)
            width, height = marked.BOXES[row, 2:] - marked.BOXES[row, :2]
            found = _difference(one, other, float(width * height))
            self._regions[key] = found if found is not None and _is_solid(found.mask) else None
        return self._regions[key]

    def point(self, seed: int, row: int, number: int) -> Region | None:
        """Return where the result of the kind "objects" shows a keypoint of an object."""
        one = self.result("objects", seed)
        other = self.result("objects", seed, with_points=((row, number),))
        return _difference(one, other, marked.POINT_SIDE**2)

    def without_side_effects(self, kind: str) -> tuple[Sample, Sample]:
        """Return a sample to which the transform was applied, and an equal one before."""
        before = marked.sample(kind, marked.image())
        given = replace(before, image=np.array(before.image))
        if before.semantic is not None:
            given = replace(given, semantic=before.semantic.copy())
        if before.labels is not None:
            given = replace(given, labels=before.labels.copy())
        self.run(given, kind)
        return given, before


def _difference(one: Sample, other: Sample, area: float) -> Region | None:
    """Return where two images differ, if that may be an object of an area in pixels."""
    a, b = one.image, other.image
    if a is None or b is None or a.shape != b.shape:
        return None
    amount = np.abs(a.astype(np.float32) - b.astype(np.float32)).sum(axis=2)
    if amount.max(initial=0) < _CONTRAST:
        return None
    mask = _largest(amount > 0.5 * amount.max())
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
    height, width = mask.shape
    touches = bool(box[:2].min() <= 1 or box[2] >= width - 1 or box[3] >= height - 1)
    share = float(mask.sum()) / area
    return None if share > _SPREAD else Region(mask, box, share, touches)


def is_refusal(error: Exception) -> bool:
    """Return whether a transform refuses a sample, and does not use its fields in a wrong way.

    The latter is a UserError too, but one of the package `samples`.
    """
    frames = traceback.extract_tb(error.__traceback__)
    is_wrong_use = bool(frames) and _SAMPLES in Path(frames[-1].filename).parents
    return isinstance(error, UserError) and not is_wrong_use


def _is_solid(mask: np.ndarray) -> bool:
    """Return whether a region is more than a thin line, as remains of colors are at an edge."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return bool(opened.sum() >= 0.5 * mask.sum())


def _largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    if count <= 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))
