"""`combined`: several datasets as one, with a class map of all and a weight for each."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from visiongarden.data.dataset import Dataset, WithMasks
from visiongarden.data.image_samples import ClassSamples
from visiongarden.data.rows import NO_SCHEME, KeypointScheme, Row
from visiongarden.data.sample_table import SampleTable
from visiongarden.errors import DataError, UserError, nearest
from visiongarden.samples import Sample
from visiongarden.samples.annotations import Annotations
from visiongarden.types import IGNORE, ClassMap, ImageSize

MAX_WEIGHT = 1000
"""Largest weight: an epoch shows each image at most this often."""

_COLUMNS = ("masks", "keypoints")
"""Fields of objects that `Part.fields` may leave out."""


@dataclass(frozen=True)
class Part:
    """One of several datasets that are used together.

    Attributes:
        dataset: Images and annotations of one split.
        name: Name in messages, such as its path.
        weight: How many times an epoch of training shows each image: 2 is twice, 0.5 is half of the
            images, drawn again for each epoch.
        classes: Names of the classes that are annotated in all its images; None: its class map.
        fields: Annotations that are used, see `Dataset.fields`; None: all.
    """

    dataset: Annotations
    name: str
    weight: float = 1.0
    classes: tuple[str, ...] | None = None
    fields: tuple[str, ...] | None = None

    def whole(self) -> Dataset:
        """Return the dataset as `Dataset`, which any `Annotations` can be wrapped in."""
        if isinstance(self.dataset, Dataset):
            return self.dataset
        given: Any = self.dataset
        return Dataset(given.class_map, given, label_map=given.label_map)


@dataclass(frozen=True)
class CombinedAnnotations(Dataset):
    """Several datasets as one, see `combined`.

    Attributes:
        weights: How many times an epoch of training shows each image of each dataset.
    """

    weights: tuple[float, ...] = field(default=(1.0,))

    @property
    def images_per_epoch(self) -> int:
        """Number of images that an epoch of training shows."""
        return sum(whole * len(at) + extra for at, whole, extra in self._shares())

    def sampled(self, random: np.random.Generator) -> np.ndarray:
        """Return the indices of the images of one epoch of training, in random order.

        A dataset of n images with weight w = k + f, 0 <= f < 1, contributes each image k times, and
        round(n f) different images once more, which are drawn for each epoch. A dataset contributes
        at least one image.
        """
        chosen = [
            np.concatenate([np.tile(at, whole), random.choice(at, extra, replace=False)])
            if extra
            else np.tile(at, whole)
            for at, whole, extra in self._shares()
        ]
        indices = np.concatenate(chosen)
        return indices[random.permutation(len(indices))]

    @property
    def scheme(self) -> KeypointScheme:
        """Meaning of the keypoints, which all datasets have in common."""
        samples: Any = self.samples
        scheme: KeypointScheme = samples.scheme
        return scheme

    def with_rows(self, rows: Any) -> Any:
        """Return a dataset of other rows, which no longer has weights."""
        located = {str(self.image_path(i)): self.image_path(i) for i in range(len(self))}
        samples: Any = self.samples
        table = SampleTable.of(rows, self.class_map, located.__getitem__, samples.scheme)
        return Dataset(
            self.class_map,
            table,
            self.split,
            self.root,
            dropped=self.dropped,
            extra=self.extra,
            categories=self.categories,
            notes=self.notes,
            label_map=self.label_map,
            channels=self.channels,
        )

    def location(self, index: int, row: int | None = None) -> str:
        """Return where an image, or one of its objects, is annotated."""
        samples: Any = self.samples
        number, place = samples.places[index].tolist()
        found: str = samples.parts[number].dataset.location(place, row)
        return found

    def _shares(self) -> list[tuple[np.ndarray, int, int]]:
        """Return for each dataset its images, how often all are shown, and how many once more."""
        samples: Any = self.samples
        shares = []
        for number, weight in enumerate(self.weights):
            at = np.flatnonzero(samples.places[:, 0] == number)
            whole = math.floor(weight)
            extra = round((weight - whole) * len(at))
            shares.append((at, whole, extra if whole else min(max(extra, 1), len(at))))
        return shares


def combined(
    parts: Sequence[Part], class_names: Sequence[str] | None = None
) -> CombinedAnnotations:
    """Combine several datasets.

    The class map contains the classes of all datasets, matched by name, in the order in which they
    first appear. If a dataset does not annotate all of them, `Sample.known_classes` has the value
    False for these classes in each of its images.

    Args:
        parts: The datasets.
        class_names: Names of all classes in the desired order; None: those of the datasets.

    Raises:
        DataError: The annotations of the datasets are of different kinds, their keypoints or labels
            have different meanings, different channels of their images are read, or a class is
            missing in `class_names`.
        UserError: There is no dataset, a weight is not a positive number, or a name in `classes` is
            unknown.

    Example:
        >>> box = vg.samples.Boxes([[1, 2, 5, 6]])
        >>> def dataset(name):
        ...     sample = vg.samples.Sample(
        ...         vg.samples.ImageInfo(0, f"{name}.jpg", (8, 9)),
        ...         instances=vg.samples.Instances((8, 9), box, [0]),
        ...     )
        ...     return vg.data.Dataset(vg.ClassMap((name,)), [sample])
        >>> both = combined([Part(dataset("cat"), "a"), Part(dataset("dog"), "b", weight=3)])
        >>> both.class_map.names, both.images_per_epoch
        (('cat', 'dog'), 4)
        >>> both[1].instances.classes.tolist(), both[1].known_classes.tolist()
        ([1], [False, True])
    """
    parts = tuple(parts)
    if not parts:
        raise UserError("the list of datasets is empty", rule="at least one dataset")
    for part in parts:
        _check_weight(part)
    names = _names(parts, class_names)
    class_map = ClassMap(names)
    wholes = [part.whole() for part in parts]
    _check_kinds(parts, wholes, len(names))
    _check_labels(parts, wholes)
    _check_channels(parts, wholes)
    places = np.concatenate(
        [
            np.stack([np.full(len(whole), number), np.arange(len(whole))], axis=1)
            for number, whole in enumerate(wholes)
        ]
    )
    converted = tuple(
        _Converted(
            whole,
            _table(part, names),
            _known(part, names),
            _kept_fields(part),
            has_one_class(whole),
        )
        for part, whole in zip(parts, wholes, strict=True)
    )
    samples = CombinedSamples(class_map, converted, places, _scheme(parts, wholes))
    categories = {
        name: keys
        for whole in reversed(wholes)
        for name, keys in zip(whole.class_map.names, whole.categories, strict=False)
    }
    return CombinedAnnotations(
        class_map,
        samples,
        wholes[0].split,
        _common_root(wholes),
        dropped=[line for whole in wholes for line in whole.dropped],
        categories=tuple(categories.get(name, {}) for name in names) if categories else (),
        notes=[
            *(f"{p.name}: {note}" for p, w in zip(parts, wholes, strict=True) for note in w.notes),
            *_similar_names(parts, names),
        ],
        label_map=wholes[0].label_map,
        channels=wholes[0].channels,
        weights=tuple(float(part.weight) for part in parts),
    )


@dataclass(frozen=True)
class _Converted:
    """A dataset with what changes its samples to those of the combination.

    Attributes:
        dataset: The dataset.
        classes: int32 (own classes,), the index of each class in the combined class map.
        known: bool (classes,), which classes are annotated; None if all are in all datasets.
        fields: Fields of objects that are kept.
        one_class: Whether images have one class each.
    """

    dataset: Dataset
    classes: np.ndarray
    known: np.ndarray
    fields: frozenset[str]
    one_class: bool


@dataclass(frozen=True)
class CombinedSamples(Sequence[Sample]):
    """Samples of several datasets with the classes of one class map.

    Attributes:
        class_map: Names of the classes.
        parts: The datasets.
        places: int64 (images, 2): for each image, the number of its dataset and its index there.
        scheme: Meaning of the keypoints.
    """

    class_map: ClassMap
    parts: tuple[_Converted, ...]
    places: np.ndarray
    scheme: KeypointScheme = NO_SCHEME

    @property
    def fields(self) -> frozenset[str]:
        """Annotations that the samples have, see `Dataset.fields`."""
        return frozenset().union(*(_fields(part.dataset, part.fields) for part in self.parts))

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        part, place = self._at(number)
        sample = part.dataset[place]
        found = sample.instances
        changes: dict[str, Any] = {name: None for name in _COLUMNS if name not in part.fields}
        if found.classes is not None:
            changes["classes"] = part.classes[found.classes]
        return replace(
            sample,
            info=replace(sample.info, id=number),
            instances=found.replace(class_map=self.class_map, **changes),
            semantic=recolored(sample.semantic, part.classes),
            labels=self._labels(part, sample.labels),
            known_classes=self._known(part, sample.known_classes),
        )

    def row(self, index: int) -> Row:
        """Return the annotations of one image as plain arrays."""
        part, place = self._at(index)
        row = part.dataset.row(place)
        return replace(
            row,
            classes=part.classes[row.classes],
            polygons=row.polygons if "masks" in part.fields else None,
            keypoints=row.keypoints if "keypoints" in part.fields else None,
            labels=self._labels(part, row.labels),
        )

    def semantic(self, index: int, size: ImageSize | None = None) -> Any:
        """Return the semantic mask of an image; None without one."""
        part, place = self._at(index)
        found: Any = part.dataset.samples
        # Of samples in memory, some may have a mask and others not.
        if "semantic" not in part.dataset.fields or not isinstance(found, WithMasks):
            return None
        return recolored(found.semantic(place, size), part.classes)

    def part(self, indices: Sequence[int]) -> CombinedSamples:
        """Return the samples at `indices`."""
        return replace(self, places=self.places[np.asarray(indices, np.int64)])

    def image_path(self, index: int) -> Any:
        """Return the location of an image: a path, an archive member or a record."""
        part, place = self._at(index)
        return part.dataset.image_path(place)

    def counts(self) -> np.ndarray:
        """Return int64 (classes,): the number of objects, or of images, of each class."""
        total = np.zeros(len(self.class_map), np.int64)
        for number, part in enumerate(self.parts):
            own = self._own(number)
            whole = part.dataset if len(own) == len(part.dataset) else part.dataset.part(own)
            np.add.at(total, part.classes, whole.counts()[: len(part.classes)])
        return total

    def objects(self) -> np.ndarray:
        """Return int64 (images,): the number of objects of each image, or an upper bound."""
        counts = np.zeros(len(self), np.int64)
        for number, part in enumerate(self.parts):
            is_own = self.places[:, 0] == number
            counts[is_own] = part.dataset.objects()[self.places[is_own, 1]]
        return counts

    def _at(self, index: int) -> tuple[_Converted, int]:
        number, place = self.places[range(len(self))[index]].tolist()
        return self.parts[number], place

    def _own(self, number: int) -> list[int]:
        own: list[int] = self.places[self.places[:, 0] == number, 1].tolist()
        return own

    def _labels(self, part: _Converted, labels: np.ndarray | None) -> np.ndarray | None:
        if labels is None or part.dataset.label_map is not None:
            return labels
        return widened(labels, part.classes, part.known, part.one_class)

    def _known(self, part: _Converted, own: np.ndarray | None) -> np.ndarray | None:
        """Return which classes are annotated; None only if all are in all datasets."""
        known = part.known
        if own is not None:
            own_known = np.zeros(len(known), bool)
            own_known[part.classes] = own
            known = known & own_known
        everywhere = all(each.known.all() for each in self.parts)
        return None if everywhere and known.all() else known.copy()


def recolored(mask: np.ndarray | None, classes: np.ndarray) -> np.ndarray | None:
    """Return a semantic mask with other class indices; ignored pixels stay ignored.

    Args:
        mask: Class indices (height, width), or None.
        classes: The new index of each class.
    """
    if mask is None:
        return None
    table = np.full(256, IGNORE, np.uint8)
    table[: len(classes)] = classes
    table[IGNORE] = IGNORE
    return np.asarray(table[mask])


def widened(
    labels: np.ndarray, order: np.ndarray, known: np.ndarray, one_class: bool
) -> np.ndarray:
    """Return labels of an image for the classes of a larger class map.

    An image that has one class has no other. Of an image that may have several, the classes that
    are not annotated are unknown.

    Args:
        labels: float32 (own classes,).
        order: Index of each own class in the larger class map.
        known: bool (classes,), whether a class is annotated.
        one_class: Whether images have one class each.
    """
    is_known = one_class and not np.isnan(labels).any()
    wide = np.where(known | is_known, 0, np.nan).astype(np.float32)
    if one_class and not is_known:
        wide[:] = np.nan
    wide[order] = labels
    return wide


def has_one_class(dataset: Dataset) -> bool:
    """Return whether each image with known labels has one class, as opposed to several or none."""
    samples = dataset.samples
    if isinstance(samples, ClassSamples):
        return True
    if dataset.label_map is not None or "labels" not in dataset.fields or not len(samples):
        return False
    if isinstance(samples, SampleTable):
        return _are_one_hot(samples.arrays["labels"])
    # Of samples that are read on demand, the first stands for all.
    first = samples if isinstance(samples, list | tuple) else [samples[0]]
    return _are_one_hot(np.array([s.labels for s in first if s.labels is not None]))


def _are_one_hot(labels: np.ndarray) -> bool:
    known = labels[~np.isnan(labels).any(axis=1)]
    return bool(len(known) and (known.sum(axis=1) == 1).all() and np.isin(known, (0, 1)).all())


def _check_weight(part: Part) -> None:
    weight: Any = part.weight
    number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
    if not (number and 0 < weight <= MAX_WEIGHT):  # NaN is refused as well
        raise UserError(
            f"{part.name}: weight is {weight!r}",
            rule=f"a number above 0, up to {MAX_WEIGHT}; 1 shows each image once per epoch",
            fix="weight=1, or leave the dataset out",
        )


def _names(parts: Sequence[Part], class_names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of all classes."""
    own = [
        name for part in parts for name in (*part.dataset.class_map.names, *(part.classes or ()))
    ]
    names = tuple(dict.fromkeys(own))
    if class_names is None:
        return names
    given = tuple(class_names)
    for part in parts:
        for name in (*part.dataset.class_map.names, *(part.classes or ())):
            if name not in given:
                raise DataError(
                    f"{part.name}: class {name!r} is not in class_names",
                    rule="the classes of all datasets",
                    received=", ".join(given),
                    fix=f"class_names={[*given, *(n for n in names if n not in given)]}",
                )
    return given


def _table(part: Part, names: tuple[str, ...]) -> np.ndarray:
    index = {name: number for number, name in enumerate(names)}
    return np.array([index[name] for name in part.dataset.class_map.names], np.int32)


def _known(part: Part, names: tuple[str, ...]) -> np.ndarray:
    """Return bool (classes,): which classes are annotated in all images of a dataset."""
    own = part.dataset.class_map.names
    annotated = own if part.classes is None else part.classes
    if not annotated:
        raise UserError(
            f"{part.name}: classes is empty",
            rule="the names of the classes that are annotated",
            fix=f"classes={list(own)}",
        )
    if len(annotated) < len(set(own) | set(annotated)):
        _check_unlisted(part, [name for name in own if name not in annotated])
    return np.array([name in annotated for name in names])


def _check_unlisted(part: Part, unlisted: Sequence[str]) -> None:
    """Refuse objects of a class that, as `classes` states, is not annotated."""
    samples = part.whole().samples
    if not isinstance(samples, SampleTable | ClassSamples | list | tuple):
        return  # counting would read all samples
    counts = part.dataset.counts()
    for name in unlisted:
        count = int(counts[part.dataset.class_map.index_of_name(name)])
        if count:
            listed = [*(part.classes or ()), name]
            raise UserError(
                f"{part.name}: {count} objects have class {name!r}, which `classes` does not list",
                rule="`classes` lists the classes that are annotated in all images",
                received=", ".join(part.classes or ()),
                fix=f"classes={listed}",
            )


def _similar_names(parts: Sequence[Part], names: Sequence[str]) -> list[str]:
    """Return a warning for each two classes whose names differ only in case or separators."""
    found: dict[str, str] = {}
    warnings = []
    for name in names:
        key = "".join(character for character in name.casefold() if character.isalnum()) or name
        other = found.setdefault(key, name)
        if other == name:
            continue
        (one, first), (two, second) = ((_part_with(parts, n), n) for n in (other, name))
        renamed = [first if n == second else n for n in two.dataset.class_map.names]
        warnings.append(
            f"classes {first!r} ({one.name}) and {second!r} ({two.name}) are two classes; if they "
            f"are the same, rename the second: class_names={renamed} for {two.name}"
        )
    return warnings


def _part_with(parts: Sequence[Part], name: str) -> Part:
    return next(
        part
        for part in parts
        if name in part.dataset.class_map.names or name in (part.classes or ())
    )


def _kept_fields(part: Part) -> frozenset[str]:
    if part.fields is None:
        return frozenset(_COLUMNS)
    there = part.whole().fields
    for name in part.fields:
        if name not in there:
            raise UserError(
                f"{part.name}: the annotations have no field {name!r}",
                rule="fields that the dataset has",
                fix=nearest(name, sorted(there)),
            )
    return frozenset(part.fields)


def _fields(dataset: Dataset, kept: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in dataset.fields if name not in _COLUMNS or name in kept)


def _check_kinds(parts: Sequence[Part], wholes: Sequence[Dataset], count: int) -> None:
    """Refuse datasets whose annotations are of different kinds."""
    kinds: dict[frozenset[str], str] = {}
    for part, whole in zip(parts, wholes, strict=True):
        fields = _fields(whole, _kept_fields(part))
        # Images without any object do not show which annotations objects have.
        if "boxes" in fields and not whole.objects().any():
            continue
        kinds.setdefault(fields, part.name)
    if any("semantic" in fields for fields in kinds) and count > IGNORE:
        raise DataError(
            f"the datasets have {count} classes in all",
            rule=f"at most {IGNORE} classes for semantic masks",
        )
    if len(kinds) < 2:
        return
    (first, one), (second, two), *_ = kinds.items()
    common = sorted((first & second) - {"labels", "semantic"})
    raise DataError(
        "the datasets have different annotations",
        rule="the same kinds of annotations in all datasets",
        received=f"{', '.join(sorted(first))} in {one}; {', '.join(sorted(second))} in {two}",
        fix=f"fields={common} for each dataset, to leave out the others"
        if common and first ^ second <= set(_COLUMNS)
        else "use the datasets separately",
    )


def _check_labels(parts: Sequence[Part], wholes: Sequence[Dataset]) -> None:
    for part, whole in zip(parts[1:], wholes[1:], strict=True):
        if whole.label_map != wholes[0].label_map:
            names = [
                "classes" if each.label_map is None else ", ".join(each.label_map.names)
                for each in (wholes[0], whole)
            ]
            raise DataError(
                "the labels of the datasets have different meanings",
                rule="the same names and units of the labels in all datasets",
                received=f"{names[0]} in {parts[0].name}; {names[1]} in {part.name}",
            )


def _check_channels(parts: Sequence[Part], wholes: Sequence[Dataset]) -> None:
    for part, whole in zip(parts[1:], wholes[1:], strict=True):
        if whole.channels != wholes[0].channels:
            given = [each.channels.value for each in (wholes[0], whole)]
            raise DataError(
                "different channels of the images are read",
                rule="the same `channels` for all datasets",
                received=f"{given[0]!r} for {parts[0].name}; {given[1]!r} for {part.name}",
                fix=f"channels={given[0]!r} for {part.name}",
            )


def _scheme(parts: Sequence[Part], wholes: Sequence[Dataset]) -> KeypointScheme:
    """Return the meaning of the keypoints, which all datasets have in common."""
    found: dict[tuple[int, KeypointScheme], str] = {}
    for part, whole in zip(parts, wholes, strict=True):
        if "keypoints" not in _fields(whole, _kept_fields(part)):
            continue
        found.setdefault(_points(whole), part.name)
    if len(found) > 1:
        ((count, first), one), ((other, second), two), *_ = found.items()
        texts = (
            f"{number} points ({', '.join(scheme.names) or 'without names'}; pairs "
            f"{scheme.pairs}) in {name}"
            for number, scheme, name in ((count, first, one), (other, second, two))
        )
        raise DataError(
            "the keypoints of the datasets have different meanings",
            rule="the same number, names, pairs and skeleton of keypoints in all datasets",
            received="; ".join(texts),
        )
    return next(iter(found))[1] if found else NO_SCHEME


def _points(dataset: Dataset) -> tuple[int, KeypointScheme]:
    """Return the number of keypoints of an object, and their meaning."""
    samples = dataset.samples
    if isinstance(samples, SampleTable):
        return samples.arrays["keypoints"].shape[1], samples.scheme
    points = next(s.instances.keypoints for s in samples if s.instances.keypoints is not None)
    scheme = KeypointScheme(tuple(points.names), points.pairs, tuple(points.skeleton))
    return points.values.shape[1], scheme


def _common_root(wholes: Sequence[Dataset]) -> Any:
    roots = [whole.root for whole in wholes]
    if len(roots) == 1:
        return roots[0]
    if not all(isinstance(root, Path) for root in roots):
        return Path()
    try:
        return Path(os.path.commonpath([root.absolute() for root in roots]))
    except ValueError:  # on different drives
        return Path()
