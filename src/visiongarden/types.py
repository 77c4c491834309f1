"""Types that the packages exchange: levels, class maps, label maps and results.

Tensors are NHWC; boxes are xyxy in pixels. The module imports neither Keras nor a backend, so that
the worker processes of the loader can use it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self, SupportsIndex, TypeAlias

import numpy as np

from visiongarden import markup
from visiongarden.errors import UserError, nearest
from visiongarden.interchange import checks, data_frames, supervision_detections
from visiongarden.terminal import printable


class Tensor(Protocol):
    """Tensor of the active backend, or a symbolic `KerasTensor` while a model is built.

    TensorFlow, JAX, PyTorch, Keras and NumPy have no class in common; these are the members that
    all of them have. Operators accept numbers, arrays and tensors, and broadcast. `shape` contains
    None for sizes that are unknown while a model is built.

    Example:
        >>> def doubled(x: vg.Tensor) -> vg.Tensor:
        ...     return x + x
        >>> doubled(keras.Input((8,))).shape
        (None, 8)
    """

    @property
    def shape(self) -> Any:
        """Sizes of the axes."""

    @property
    def dtype(self) -> Any:
        """Type of the elements."""

    def __getitem__(self, key: Any, /) -> Tensor: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __neg__(self) -> Tensor: ...
    def __invert__(self) -> Tensor: ...
    def __add__(self, other: Any, /) -> Tensor: ...
    def __radd__(self, other: Any, /) -> Tensor: ...
    def __sub__(self, other: Any, /) -> Tensor: ...
    def __rsub__(self, other: Any, /) -> Tensor: ...
    def __mul__(self, other: Any, /) -> Tensor: ...
    def __rmul__(self, other: Any, /) -> Tensor: ...
    def __truediv__(self, other: Any, /) -> Tensor: ...
    def __rtruediv__(self, other: Any, /) -> Tensor: ...
    def __floordiv__(self, other: Any, /) -> Tensor: ...
    def __mod__(self, other: Any, /) -> Tensor: ...
    def __pow__(self, other: Any, /) -> Tensor: ...
    def __matmul__(self, other: Any, /) -> Tensor: ...
    def __and__(self, other: Any, /) -> Tensor: ...
    def __or__(self, other: Any, /) -> Tensor: ...
    def __lt__(self, other: Any, /) -> Tensor: ...
    def __le__(self, other: Any, /) -> Tensor: ...
    def __gt__(self, other: Any, /) -> Tensor: ...
    def __ge__(self, other: Any, /) -> Tensor: ...


FeatureMaps: TypeAlias = dict[str, Tensor]
"""Feature maps by level: tensors of shape (batch, height, width, channels); `"p3"` has stride 8."""

RawPredictions: TypeAlias = dict[str, dict[str, Tensor]]
"""Outputs of a head before decoding: level -> name ("boxes", "classes", ...) -> tensor."""

ImageSize: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

Targets: TypeAlias = Mapping[str, Any]
"""What a loss compares raw predictions with: tensors by name, of fixed shapes.

"boxes" (batch, m, 4) float32, xyxy, pixels of the network's input; "classes" (batch, m) int32, -1
pads; "semantic" (batch, height, width), 255 is ignored; "labels" (batch, k) float32, NaN is
unknown; "known_classes" (batch, classes) bool, False where a class is not annotated.
"""

Polygons: TypeAlias = tuple[np.ndarray, ...]
"""Polygons of one object, each float (n, 2) with x and y in pixels. The mask is their union.

A hole belongs to the polygon around it, to which a bridge of zero width connects it. The winding
order of the points has no meaning.
"""


IGNORE = 255
"""Mask value of pixels that losses and metrics ignore."""


def stride_of(level: str) -> int:
    """Return the stride of a level from its name: 8 for `"p3"`.

    Args:
        level: name of the level, `p` and one digit; the stride is 2 to the power of that digit.

    Raises:
        UserError: the name is not `p` followed by a digit.
    """
    if not re.fullmatch(r"p[0-9]", level):
        raise UserError(
            f"{level!r} is not a valid level name",
            rule='"p" and one digit; "p3" is the feature map of stride 2**3 = 8',
            fix='levels=("p3", "p4", "p5")',
        )
    return int(2 ** int(level[1:]))


def map_size(image_size: ImageSize, stride: int) -> tuple[int, int]:
    """Return (rows, columns) of the feature map of a stride, rounded up.

    Sizes are usually multiples of the stride. The levels that a decoder adds beyond the backbone's
    are halved by strided convolutions, which round up: p6 of 320 pixels has 5 cells, and p7 has 3.

    Args:
        image_size: (height, width) in pixels.
        stride: distance of two cells in pixels.
    """
    return -(-image_size[0] // stride), -(-image_size[1] // stride)


@dataclass(frozen=True)
class LevelSpec:
    """Size of one feature map.

    Attributes:
        channels: number of channels.
        stride: distance of two cells, in pixels of the input image.
    """

    channels: int
    stride: int


class FeatureSpec(Mapping[str, LevelSpec]):
    """Immutable mapping of levels to `LevelSpec`, ordered by stride and hashable.

    Example:
        >>> spec = FeatureSpec({"p4": LevelSpec(64, 16), "p3": LevelSpec(32, 8)})
        >>> list(spec)
        ['p3', 'p4']
    """

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

    def _repr_html_(self) -> str:
        rows = [(level, spec.stride, spec.channels) for level, spec in self.items()]
        return markup.section("FeatureSpec", markup.table(("level", "stride", "channels"), rows))


class HeadContext(NamedTuple):
    """What a loss, a decoding or an assigner can know about the head and its inputs.

    Attributes:
        head: the head: its anchors, bins, number of classes and assigner are its fields.
        image_size: (height, width) of the network's input in pixels.
        levels: stride and channels of each feature map that the head receives.
    """

    head: Any
    image_size: ImageSize
    levels: FeatureSpec

    def of_head(self, name: str) -> HeadContext:
        """Return the context of one of several combined heads.

        Args:
            name: name of the head.
        """
        head = self.head.heads[name]
        levels = {level: self.levels[level] for level in head.levels or self.levels}
        return HeadContext(head, self.image_size, FeatureSpec(levels))


class Term(NamedTuple):
    """One term of a loss as a sum over the batch and its divisor.

    Both are kept apart, because sums and counts of several devices or steps are added before the
    division. A quantity that is no sum over elements, such as Dice, is computed per image, with the
    number of images as its count.

    Attributes:
        total: scalar float32, the weighted sum over the local batch.
        count: scalar float32, the divisor after summation; below 1 it is taken as 1.
    """

    total: Tensor
    count: Tensor  # type: ignore[assignment]  # shadows tuple.count, which is not used here


class Candidates(NamedTuple):
    """Predictions of a head that an assigner can choose from, n for each image.

    Attributes:
        scores: (batch, n, classes), 0 to 1.
        boxes: (batch, n, 4), xyxy, pixels of the network's input.
        points: float32 (n, 2), x and y of the centers of the cells in pixels.
        strides: float32 (n,), pixels per cell.
        anchors: float32 (n, 2), width and height of the anchors in pixels; None without anchors.
    """

    scores: Tensor
    boxes: Tensor
    points: np.ndarray
    strides: np.ndarray
    anchors: np.ndarray | None = None


class Assignment(NamedTuple):
    """Which prediction is trained on which object: at most one each.

    Attributes:
        index: (batch, n) int32, row of the object; -1 is background, and -2 a prediction that the
            loss ignores.
        weight: (batch, n) float32, weight of a positive, or its quality, 0 to 1; 0 for others.
    """

    index: Tensor  # type: ignore[assignment]  # shadows tuple.index, which is not used here
    weight: Tensor


BACKGROUND, IGNORED = -1, -2
"""Values of `Assignment.index` of predictions without an object."""


_SHOWN = 20
"""Largest number of names or ids that an error message lists."""

_NAMED, _ROWS = 8, 50
"""Largest numbers of classes that `repr` lists, and of rows of a table in a notebook."""


@dataclass(frozen=True)
class ClassMap:
    """Names of the classes of a dataset, in the order of a model's class outputs.

    The index of a class is its position in `names`.

    Attributes:
        names: non-empty, unique names.
        ids: ids of the same classes in the annotation files, unique integers. They may have gaps,
            as COCO's have. By default they equal the indices.

    Raises:
        UserError: a name is empty, a name or an id occurs twice, or their numbers differ.

    Example:
        >>> vg.ClassMap(("cat", "dog"), ids=(17, 18)).index_of_id(18)
        1
    """

    names: tuple[str, ...]
    ids: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "ids", tuple(self.ids) or tuple(range(len(self.names))))
        if not self.names or any(not isinstance(n, str) or not n for n in self.names):
            raise UserError(
                "the class names of the class map are not valid",
                rule="at least one class, and a non-empty name for each",
                received=f"{self.names!r:.200}",
            )
        # `__index__` accepts the integers of NumPy; True and False would pass for 1 and 0.
        if any(not isinstance(i, SupportsIndex) or isinstance(i, bool) for i in self.ids):
            raise UserError("the class ids are not integers", received=f"{self.ids!r:.200}")
        for what, values in (("name", self.names), ("id", self.ids)):
            duplicates = sorted(str(v) for v, times in Counter(values).items() if times > 1)
            if duplicates:
                listed = ", ".join(duplicates[:_SHOWN])
                raise UserError(f"duplicate class {what} in the class map: {listed}")
        if len(self.ids) != len(self.names):
            raise UserError(f"the class map has {len(self.names)} names and {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.names)

    def _repr_html_(self) -> str:
        rows = [(index, *pair) for index, pair in enumerate(zip(self.ids, self.names, strict=True))]
        table = markup.table(("index", "id", "name"), rows, limit=_ROWS)
        return markup.section(f"ClassMap, {len(self)} classes", table)

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Index of each class by name."""
        # A linear search through 21,841 names for each of a million boxes takes hours.
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def by_id(self) -> dict[int, int]:
        """Index of each class by its id in the annotation files."""
        return {number: index for index, number in enumerate(self.ids)}

    def index_of_name(self, name: str) -> int:
        """Return the index of a class by its name.

        Raises:
            UserError: no class has this name. The message suggests similar names.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise UserError(f"unknown class {name!r}", fix=nearest(name, self.names)) from None

    def index_of_id(self, class_id: int) -> int:
        """Return the index of a class by its id in the annotation files.

        Raises:
            UserError: no class has this id.
        """
        try:
            return self.by_id[class_id]
        except KeyError:
            raise UserError(
                f"class id {class_id} is outside the class map",
                rule=f"one of the ids {_ranges(self.ids)} ({len(self)} classes)",
            ) from None


@dataclass(frozen=True)
class LabelMap:
    """Meaning of the columns of a sample's labels, such as the values of a regression.

    Attributes:
        names: non-empty, unique names of the columns.
        units: unit of each column, "" for none; by default none has a unit.

    Raises:
        UserError: a name is empty or occurs twice, or the numbers of names and units differ.

    Example:
        >>> vg.types.LabelMap(("angle", "throttle"), units=("rad", "")).names
        ('angle', 'throttle')
    """

    names: tuple[str, ...]
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "units", tuple(self.units) or ("",) * len(self.names))
        if not self.names or any(not isinstance(n, str) or not n for n in self.names):
            raise UserError(
                "the names of the labels are not valid",
                rule="at least one label, and a non-empty name for each",
                received=f"{self.names!r:.200}",
            )
        duplicates = sorted(name for name, times in Counter(self.names).items() if times > 1)
        if duplicates:
            raise UserError(f"duplicate label name: {', '.join(duplicates[:_SHOWN])}")
        if len(self.units) != len(self.names):
            raise UserError(f"the labels have {len(self.names)} names and {len(self.units)} units")

    def __len__(self) -> int:
        return len(self.names)


def _ranges(ids: tuple[int, ...]) -> str:
    if ids == tuple(range(ids[0], ids[0] + len(ids))):
        return f"{ids[0]} to {ids[-1]}"
    more = ", …" if len(ids) > _SHOWN else ""
    return ", ".join(map(str, ids[:_SHOWN])) + more


@dataclass(frozen=True)
class Placement:
    """Mapping of an image's pixels to the canvas of a model: `canvas = image * scale + offset`.

    Attributes:
        scale: factors of x and y.
        offset: position of the image's upper left corner on the canvas: x and y in pixels.

    Example:
        >>> placement = Placement(scale=(0.5, 0.5), offset=(0.0, 10.0))
        >>> placement.apply(np.array([[0, 0, 20, 20]])).tolist()
        [[0.0, 10.0, 10.0, 20.0]]
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    @property
    def matrix(self) -> np.ndarray:
        """The mapping as a (3, 3) matrix, from pixels of the image to pixels of the canvas."""
        (sx, sy), (x, y) = self.scale, self.offset
        return np.array([[sx, 0, x], [0, sy, y], [0, 0, 1]])

    def apply(self, boxes: np.ndarray) -> np.ndarray:
        """Convert xyxy boxes (n, 4) from pixels of the image to pixels of the canvas."""
        return (boxes * np.tile(self.scale, 2) + np.tile(self.offset, 2)).astype(np.float32)

    def undo(self, boxes: np.ndarray) -> np.ndarray:
        """Convert xyxy boxes (n, 4) from pixels of the canvas to pixels of the image.

        Boxes are not clipped to the image.
        """
        return ((boxes - np.tile(self.offset, 2)) / np.tile(self.scale, 2)).astype(np.float32)


class ImageReference(Protocol):
    """Image that a result belongs to."""

    def picture(self, found: Any) -> np.ndarray | None:
        """Draw a result on the image: uint8 RGB, or None if the image is no longer available."""


class Result:
    """Base class of what is found in one image: `Instances`, `Ranking`, `Segments`, `Values`.

    Attributes:
        class_map: names of the classes, or None.
        image: the image, which notebooks show, or None; it is not written to files.
    """

    __slots__ = ()

    class_map: ClassMap | None
    image: ImageReference | None

    def replace(self, **fields: Any) -> Self:
        """Return the result with other values of some of its attributes."""
        raise NotImplementedError

    @property
    def _names(self) -> tuple[str, ...] | None:
        return None if self.class_map is None else self.class_map.names

    def _name(self, index: int) -> str:
        """Return the name of a class as `repr` shows it, even if it is outside the class map."""
        names = self._names or ()
        return printable(names[index]) if 0 <= index < len(names) else f"class {index}"

    def _class(self, index: int) -> dict[str, Any]:
        """Return name and index of a class for `to_dict`."""
        named = {} if self._names is None else {"class": self._names[index]}
        return named | {"class_index": int(index)}

    def _check(self, classes: np.ndarray) -> None:
        """Raise a `UserError` if a class index is outside the class map."""
        count = None if self.class_map is None else len(self.class_map)
        checks.check_indices(np.asarray(classes), count)

    def _html(self, title: str, headings: Sequence[str], rows: list[tuple[Any, ...]]) -> str:
        picture = self.image.picture(self) if self.image else None
        shown = "" if picture is None else markup.picture(picture)
        return markup.section(title, shown, markup.table(headings, rows, limit=_ROWS))


@dataclass(kw_only=True, repr=False)
class Prediction(Result):
    """Base class of the results that describe an image as a whole.

    Attributes:
        class_map: names of the classes, or None.
        image: the image, which notebooks show; it is not written to files.
    """

    class_map: ClassMap | None = None
    image: ImageReference | None = field(default=None, compare=False)

    def replace(self, **fields: Any) -> Self:
        """Return the result with other values of some of its attributes."""
        return replace(self, **fields)


@dataclass(repr=False)
class Ranking(Prediction):
    """Predicted classes of one image, in order of descending score.

    Attributes:
        classes: int32 (n,), indices into the class map.
        scores: float32 (n,), 0 to 1. They sum to 1 if each image has one class and all classes are
            included.
        class_map: names of the classes, or None.
        image: the image, which notebooks show; it is not written to files.
    """

    classes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def _pairs(self) -> list[tuple[int, float]]:
        return list(zip(self.classes.tolist(), self.scores.tolist(), strict=True))

    def __repr__(self) -> str:
        listed = [f"{self._name(index)} {score:.3f}" for index, score in self._pairs]
        return f"Ranking({shortened(listed) or 'no classes'})"

    def _repr_html_(self) -> str:
        rows = [(self._name(index), f"{score:.3f}") for index, score in self._pairs]
        return self._html(repr(self), ("class", "score"), rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the classes as values that `json.dump` writes.

        Each has "class" (if the names are known), "class_index" and "score".

        Raises:
            UserError: a class is outside the class map.
        """
        self._check(self.classes)
        rows = [self._class(index) | {"score": score} for index, score in self._pairs]
        return {"classes": rows}

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with the columns score, class_index, and class if known.

        Raises:
            UserError: pandas is not installed, or a class is outside the class map.
        """
        self._check(self.classes)
        return data_frames.frame_of({"score": self.scores}, self.classes, self._names)

    def to_supervision(self) -> Any:
        """Return a `supervision.Classifications` with class indices.

        Raises:
            UserError: supervision is not installed, or a class is outside the class map.
        """
        self._check(self.classes)
        return supervision_detections.to_classifications(self.scores, self.classes)


@dataclass(repr=False)
class Segments(Prediction):
    """Predicted class of each pixel of one image.

    Attributes:
        classes: uint8 (height, width), indices into the class map.
        scores: float32 (height, width), 0 to 1, score of the predicted class.
        class_map: names of the classes, or None.
        image: the image, which notebooks show; it is not written to files.
    """

    classes: np.ndarray
    scores: np.ndarray

    @property
    def size(self) -> ImageSize:
        """(height, width) of the image in pixels."""
        height, width = self.classes.shape
        return height, width

    def shares(self) -> dict[int, float]:
        """Return the fraction of the pixels of each class index that occurs, largest first."""
        indices, counts = np.unique(self.classes, return_counts=True)
        # Stable, so that classes of equal size are in the order of their indices.
        order = np.argsort(-counts, kind="stable")
        pairs = zip(indices[order].tolist(), counts[order].tolist(), strict=True)
        return {index: count / self.classes.size for index, count in pairs}

    def __repr__(self) -> str:
        listed = [f"{self._name(index)} {share:.1%}" for index, share in self.shares().items()]
        return f"Segments({self.size[0]} × {self.size[1]}; {shortened(listed)})"

    def _repr_html_(self) -> str:
        rows = [(self._name(index), f"{share:.1%}") for index, share in self.shares().items()]
        return self._html(repr(self), ("class", "share of the pixels"), rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the size and the share of each class as values that `json.dump` writes.

        Each segment has "class" (if the names are known), "class_index" and "share", the fraction
        of the pixels. The pixels themselves are `classes`.

        Raises:
            UserError: a class is outside the class map.
        """
        self._check(self.classes)
        rows = [self._class(index) | {"share": share} for index, share in self.shares().items()]
        return {"size": list(self.size), "segments": rows}

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with one row per class: share, class_index, class if known.

        Raises:
            UserError: pandas is not installed, or a class is outside the class map.
        """
        self._check(self.classes)
        shares = self.shares()
        columns = {"share": list(shares.values())}
        return data_frames.frame_of(columns, np.array(list(shares), np.int32), self._names)

    def to_supervision(self) -> Any:
        """Return a `supervision.Detections` with one mask for each class that occurs.

        The score of a mask is the mean of the scores of its pixels.

        Raises:
            UserError: supervision is not installed, or a class is outside the class map.
        """
        self._check(self.classes)
        return supervision_detections.to_masks(self.classes, self.scores, self._names)


@dataclass(repr=False)
class Values(Prediction):
    """Predicted values of one image, such as a steering angle.

    Attributes:
        values: float32 (k,), in the units of the label map.
        label_map: names and units of the values.
        class_map: not used.
        image: the image, which notebooks show; it is not written to files.

    Raises:
        UserError: the numbers of values and names differ.

    Example:
        >>> vg.types.Values(np.array([0.25]), vg.types.LabelMap(("angle",), units=("rad",)))
        Values(angle 0.25 rad)
    """

    values: np.ndarray
    label_map: LabelMap

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.label_map),):
            raise UserError(
                f"the values are an array {self.values.shape}",
                rule=f"one number for each of {', '.join(self.label_map.names[:_SHOWN])}",
                received=f"{self.values.tolist()!r:.100}",
            )

    @property
    def lines(self) -> list[str]:
        """Name, value and unit of each value, as text."""
        rows = zip(self.label_map.names, self.values.tolist(), self.label_map.units, strict=True)
        return [printable(f"{name} {value:.4g} {unit}".strip()) for name, value, unit in rows]

    def __getitem__(self, name: str) -> float:
        """Return a value by its name.

        Raises:
            UserError: there is no such value.
        """
        names = self.label_map.names
        if name not in names:
            raise UserError(f"there is no value {name!r}", fix=nearest(str(name), names))
        return float(self.values[names.index(name)])

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Values({shortened(self.lines)})"

    def _repr_html_(self) -> str:
        columns = self.label_map.names, map("{:.6g}".format, self.values), self.label_map.units
        rows: list[tuple[Any, ...]] = list(zip(*columns, strict=True))
        return self._html(repr(self), ("value", "predicted", "unit"), rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the values as `json.dump` writes them: each has "name", "value" and "unit"."""
        columns = self.label_map.names, self.values.tolist(), self.label_map.units
        rows = zip(*columns, strict=True)
        return {"values": [{"name": n, "value": value, "unit": u} for n, value, u in rows]}

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with the columns name, value and unit.

        Raises:
            UserError: pandas is not installed.
        """
        label_map = self.label_map
        columns = {"name": label_map.names, "value": self.values, "unit": label_map.units}
        return data_frames.frame_of(columns, None, None)


@dataclass(repr=False)
class HeadResults(Prediction):
    """Results of a model with several heads for one image.

    Attributes:
        results: result of each head, by the head's name.
        class_maps: class maps of heads with other classes than `class_map`, by their name.
        class_map: names of the classes, or None.
        image: the image, which notebooks show; it is not written to files.

    Example:
        >>> kind = vg.types.Ranking(np.array([1]), np.array([0.75], "float32"))
        >>> vg.types.HeadResults({"kind": kind})["kind"]
        Ranking(class 1 0.750)
    """

    results: dict[str, Any]
    class_maps: dict[str, ClassMap] = field(default_factory=dict)

    def __getitem__(self, head: str) -> Any:
        """Return the result of a head.

        Raises:
            UserError: there is no such head.
        """
        if head not in self.results:
            raise UserError(f"there is no head {head!r}", fix=nearest(str(head), self.results))
        return self.results[head]

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __repr__(self) -> str:
        listed = ", ".join(f"{name}={result!r}" for name, result in self.results.items())
        return f"HeadResults({listed})"

    def replace(self, **fields: Any) -> Self:
        """Return the results with other values of some attributes, those of each head included."""
        shared = {n: value for n, value in fields.items() if n in ("class_map", "image")}
        results = {}
        for name, result in fields.pop("results", self.results).items():
            own = shared
            if name in self.class_maps and "class_map" in shared:
                own = shared | {"class_map": self.class_maps[name]}
            results[name] = result.replace(**own) if isinstance(result, Result) else result
        return replace(self, results=results, **fields)

    def _repr_html_(self) -> str:
        rows: list[tuple[Any, ...]] = [(name, repr(r)) for name, r in self.results.items()]
        return self._html("HeadResults", ("head", "result"), rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the result of each head as values that `json.dump` writes."""
        return {name: result.to_dict() for name, result in self.results.items()}


def shortened(listed: list[str]) -> str:
    """Join names for `repr`, and count those beyond the eighth."""
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f", … {more} more" if more > 0 else "")
