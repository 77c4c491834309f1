"""The values that rooms pass to each other. NHWC; boxes are xyxy in pixels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from visiongarden.errors import UserError, nearest

FeatureMaps: TypeAlias = dict[str, Any]
"""Level -> tensor of shape (batch, height, width, channels); `"p3"` has stride 2³ = 8."""

RawPredictions: TypeAlias = dict[str, dict[str, Any]]
"""Level -> name ("boxes", "classes", ...) -> tensor: what a head returns, before decoding."""

ImageSize: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

Outline: TypeAlias = tuple[np.ndarray, ...]
"""Polygons of one object, float (n, 2), x and y in pixels: its mask is all of them together.

A hole is part of the ring around it, reached by a line there and back.
"""


IGNORE = 255
"""Value of a mask's pixels that are neither trained on nor judged."""


def stride_of(level: str) -> int:
    """Stride of a level by its name: `"p3"` -> 8.

    Raises:
        UserError: the name is not `p` and a number from 0 to 9.
    """
    if not re.fullmatch(r"p[0-9]", level):
        raise UserError(
            f"{level!r} is no level",
            rule='a level is "p" and a number; "p3" is the feature map of stride 2**3 = 8',
            fix='levels=("p3", "p4", "p5")',
        )
    return int(2 ** int(level[1:]))


@dataclass(frozen=True)
class LevelSpec:
    """Size of one feature map: channels, stride (input pixels per cell)."""

    channels: int
    stride: int


class FeatureSpec(Mapping[str, LevelSpec]):
    """Levels with their channels and strides, in order of stride; a value."""

    def __init__(self, levels: Mapping[str, LevelSpec]) -> None:
        self._levels = dict(sorted(levels.items(), key=lambda item: item[1].stride))

    def __getitem__(self, level: str) -> LevelSpec:
        return self._levels[level]

    def __iter__(self) -> Iterator[str]:
        return iter(self._levels)

    def __len__(self) -> int:
        return len(self._levels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureSpec) and self._levels == other._levels

    def __hash__(self) -> int:
        return hash(tuple(self._levels.items()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{n}: {s.channels} ch /{s.stride}" for n, s in self.items())
        return f"FeatureSpec({inside})"


_SHOWN = 20
"""Names or ids that a message lists."""


@dataclass(frozen=True)
class ClassMap:
    """Names of the classes; the class id is the position in `names`, from 0, without gaps.

    `ids` are the ids that the data set's own files use (COCO's have gaps), in the same order.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "ids", tuple(self.ids) or tuple(range(len(self.names))))
        if not self.names or any(not isinstance(n, str) or not n for n in self.names):
            raise UserError(
                "a class map needs names",
                rule="one non-empty name a class",
                received=f"{self.names!r:.200}",
            )
        if any(not hasattr(i, "__index__") or isinstance(i, bool) for i in self.ids):
            raise UserError("a class map needs whole numbers as ids", received=f"{self.ids!r:.200}")
        for what, values in (("name", self.names), ("id", self.ids)):
            twice = sorted(str(v) for v, times in Counter(values).items() if times > 1)
            if twice:
                listed = ", ".join(twice[:_SHOWN])
                raise UserError(f"class {what} {listed} stands twice in the class map")
        if len(self.ids) != len(self.names):
            raise UserError(f"class map has {len(self.names)} names and {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Name -> index: looking through 21,841 names for each of a million boxes takes hours."""
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def by_id(self) -> dict[int, int]:
        """Id in the data set's files -> index."""
        return {number: index for index, number in enumerate(self.ids)}

    def index_of_name(self, name: str) -> int:
        """Index of a class by its name; a `UserError` lists the valid names."""
        try:
            return self.by_name[name]
        except KeyError:
            raise UserError(f"unknown class {name!r}", fix=nearest(name, self.names)) from None

    def index_of_id(self, class_id: int) -> int:
        """Index of a class by the id that the data set's files use."""
        try:
            return self.by_id[class_id]
        except KeyError:
            raise UserError(
                f"class id {class_id} is outside the class map",
                rule=f"ids are {_ranges(self.ids)} ({len(self)} classes)",
            ) from None


def _ranges(ids: tuple[int, ...]) -> str:
    if ids == tuple(range(ids[0], ids[0] + len(ids))):
        return f"{ids[0]} to {ids[-1]}"
    more = ", …" if len(ids) > _SHOWN else ""
    return ", ".join(map(str, ids[:_SHOWN])) + more


@dataclass
class Example:
    """One image and its targets.

    Attributes:
        image: uint8 RGB of shape (height, width, 3), or None before decoding.
        boxes: float32 (n, 4), xyxy, pixels of `image`; n may be 0.
        classes: int32 (n,), indices into the class map.
        path: where the image lies: a path, a member of an archive, a record.
        image_id: position in the data set; what metrics key on.
        size: (height, width) of the original image file.
        crowd: bool (n,): COCO's `iscrowd`; such boxes are ignored in judging, never trained on.
        outlines: one a box, None for a box without one; None where no box has any.
        area: float64 (n,): area of each object as its file gives it, square pixels, NaN where it
            gives none; None where no object has one. Metrics take it for the size of an object.
        extra: JSON of the keys that the file holds beside these, see `visiongarden.samples.extra`.
    """

    boxes: np.ndarray
    classes: np.ndarray
    image: np.ndarray | None = None
    path: Any = None
    image_id: int = 0
    size: ImageSize | None = None
    crowd: np.ndarray | None = None
    outlines: tuple[Outline | None, ...] | None = None
    area: np.ndarray | None = None
    extra: str | None = None


@dataclass(frozen=True)
class Placement:
    """Where an image lies on the canvas that a model sees: x -> x * scale + offset, y likewise."""

    scale: tuple[float, float]
    offset: tuple[float, float]

    def apply(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (n, 4), pixels of the image -> pixels of the canvas."""
        return (boxes * np.tile(self.scale, 2) + np.tile(self.offset, 2)).astype(np.float32)

    def undo(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (n, 4), pixels of the canvas -> pixels of the image; not clipped."""
        return ((boxes - np.tile(self.offset, 2)) / np.tile(self.scale, 2)).astype(np.float32)


@dataclass
class Batch:
    """What the pipeline gives a model.

    Attributes:
        images: uint8 RGB (batch, height, width, 3), 0 to 255; models take float 0 to 1.
        boxes: float32 (batch, most, 4), xyxy, pixels of `images`, zero-padded.
        classes: int32 (batch, most), -1 where padded.
        image_ids: int64 (batch,).
        sizes: int32 (batch, 2): (height, width) of the original images.
        crowd: bool (batch, most).
        scales: float32 (batch, 2): x and y factor from the original image to `images`.
        offsets: float32 (batch, 2): x and y in `images` of the original's left upper corner.
    """

    images: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    image_ids: np.ndarray
    sizes: np.ndarray
    crowd: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """What a loss is given, by the names of its arguments."""
        return {"boxes": self.boxes, "classes": self.classes}


@dataclass
class Detections:
    """What was found in one image, best first.

    Attributes:
        boxes: float32 (n, 4), xyxy, pixels of the original image.
        scores: float32 (n,), 0 to 1.
        classes: int32 (n,), indices into the class map.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass
class ClassBatch:
    """What the pipeline gives a classifier.

    Attributes:
        images: uint8 RGB (batch, height, width, 3).
        classes: float32 (batch, classes): how much of each class an image is; rows sum to 1.
        sizes: int32 (batch, 2): (height, width) of the original images.
        scales: float32 (batch, 2): x and y factor from the original image to `images`.
        offsets: float32 (batch, 2): x and y in `images` of the original's left upper corner.
    """

    images: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """What a loss is given, by the names of its arguments."""
        return {"classes": self.classes}


@dataclass
class MaskBatch:
    """What the pipeline gives a segmenter.

    Attributes:
        images: uint8 RGB (batch, height, width, 3).
        masks: uint8 (batch, height, width): class of each pixel; 255 is ignored.
        sizes: int32 (batch, 2): (height, width) of the original images.
        scales: float32 (batch, 2): x and y factor from the original image to `images`.
        offsets: float32 (batch, 2): x and y in `images` of the original's left upper corner.
    """

    images: np.ndarray
    masks: np.ndarray
    sizes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """What a loss is given, by the names of its arguments."""
        return {"masks": self.masks}


@dataclass
class Ranking:
    """The classes of one image, best first.

    Attributes:
        classes: int32 (n,), indices into the class map.
        scores: float32 (n,), 0 to 1; they sum to 1 where none is left out.
    """

    classes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass
class Segments:
    """The class of each pixel of one image.

    Attributes:
        classes: uint8 (height, width), indices into the class map.
        scores: float32 (height, width), 0 to 1: how sure each pixel's class is.
    """

    classes: np.ndarray
    scores: np.ndarray
