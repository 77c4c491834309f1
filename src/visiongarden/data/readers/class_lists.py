"""Comparison and reordering of class names that a dataset defines in two places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from visiongarden.data.combined import has_one_class, recolored, widened
from visiongarden.data.dataset import Bounded, Dataset
from visiongarden.data.image_samples import ClassSamples
from visiongarden.data.readers.build import CLASSES, class_names_in
from visiongarden.data.rows import Row
from visiongarden.data.sample_table import SampleTable
from visiongarden.data.semantic_samples import SemanticSamples
from visiongarden.errors import DataError
from visiongarden.samples import Sample
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, ImageSize


def refuse_other_lists(file: Place, names: Sequence[str], folders: Iterable[Place]) -> None:
    """Raise an error if a `classes.txt` contradicts the class order in the dataset's YAML file.

    One of the two lists may be longer than the other.

    Args:
        file: YAML file of the dataset.
        names: Class names in the YAML file.
        folders: Folders that may contain a `classes.txt`.

    Raises:
        DataError: The lists differ; the message contains both files and the first difference.
    """
    for folder in sorted(set(folders), key=str):
        listed = class_names_in(folder) or ()
        for number, (name, other) in enumerate(zip(names, listed, strict=False)):
            if name != other:
                order = (
                    "in a different order than" if set(names) == set(listed) else "differently from"
                )
                raise DataError(
                    f"{folder / CLASSES} lists the classes {order} {file}",
                    rule=f"class {number} is {name!r} in {file}",
                    received=f"{other!r} in {folder / CLASSES}",
                    fix="keep the order in which the labels were written: correct `names` in "
                    f"{file.name}, or delete {CLASSES}",
                )


def in_order(
    rows: Sequence[Row], own: Sequence[str], wanted: Sequence[str]
) -> tuple[Sequence[Row], tuple[int, ...]]:
    """Renumber the classes of rows from the order `own` to the order `wanted`.

    Nothing changes unless both contain the same names in a different order.

    Returns:
        The rows, and for each class the id that the files use; empty if nothing changes.
    """
    if tuple(own) == tuple(wanted) or set(own) != set(wanted):
        return rows, ()
    order: Any = np.array([list(wanted).index(name) for name in own], np.int32)
    found = tuple(replace(row, classes=order[row.classes]) for row in rows)
    return found, tuple(list(own).index(name) for name in wanted)


def renumbered(found: Dataset, wanted: tuple[str, ...], reader: str) -> Dataset:
    """Return annotations with the class map of the names `wanted`, matched by name.

    Args:
        found: Annotations of a reader that did not use the given names.
        wanted: Class names, at least those of the annotations.
        reader: Name of the reader.

    Raises:
        DataError: A class of the annotations is not among the names.
    """
    own = found.class_map
    missing = [name for name in own.names if name not in wanted]
    if missing:
        raise DataError(
            f"`class_names` lacks classes that {reader} has read",
            rule=", ".join(own.names)[:200],
            received=", ".join(wanted)[:200],
            fix=f"add {', '.join(missing)[:100]}",
        )
    order: Any = np.array([wanted.index(name) for name in own.names], np.int32)
    ids = dict(zip(own.names, own.ids, strict=True))
    unused = iter(range(max(own.ids) + 1, max(own.ids) + 1 + len(wanted)))
    class_map = ClassMap(wanted, tuple(ids[n] if n in ids else next(unused) for n in wanted))
    own_samples = found.samples
    if isinstance(own_samples, SemanticSamples):
        return replace(
            found,
            class_map=class_map,
            samples=_of_masks(own_samples, class_map, order, reader),
            categories=(),
        )
    if isinstance(own_samples, ClassSamples):
        classes = tuple(order[list(own_samples.classes)].tolist())
        samples = replace(own_samples, class_map=class_map, classes=classes)
        return replace(found, class_map=class_map, samples=samples, categories=())
    one_class = has_one_class(found) if found.label_map is None else None
    new = _Renumbering(order, len(wanted), one_class)
    if isinstance(own_samples, SampleTable):
        rows = map(new.row, found.rows())
        return replace(found, class_map=class_map, categories=()).with_rows(rows)
    on_demand = _Renumbered(found, new)
    is_list = isinstance(own_samples, list | tuple)
    return replace(
        found,
        class_map=class_map,
        samples=list(on_demand) if is_list else on_demand,
        categories=(),
    )


def _of_masks(
    samples: SemanticSamples, class_map: ClassMap, order: np.ndarray, reader: str
) -> SemanticSamples:
    """Return the samples of masks, whose values stay those of the files."""
    if samples.colors is None:
        return replace(samples, class_map=class_map)
    if len(class_map) > len(samples.colors):
        raise DataError(
            f"`class_names` has classes without a color in the masks that {reader} reads",
            rule=", ".join(samples.class_map.names)[:200],
            received=", ".join(class_map.names)[:200],
        )
    colors = tuple(samples.colors[i] for i in np.argsort(order).tolist())
    return replace(samples, class_map=class_map, colors=colors)


@dataclass(frozen=True)
class _Renumbering:
    """What changes annotations to those of another class map.

    Attributes:
        order: int32 (own classes,), the new index of each class.
        count: Number of classes of the other class map.
        one_class: Whether images have one class each; None if labels are no classes.
    """

    order: np.ndarray
    count: int
    one_class: bool | None

    def row(self, row: Row) -> Row:
        """Return the row with other class indices."""
        return replace(row, classes=self.order[row.classes], labels=self._labels(row.labels))

    def sample(self, sample: Sample) -> Sample:
        """Return the sample with other class indices."""
        objects, known = sample.instances, sample.known_classes
        if objects.classes is not None:
            objects = objects.replace(classes=self.order[objects.classes])
        if known is not None:
            known = np.zeros(self.count, bool)
            known[self.order] = sample.known_classes
        return replace(
            sample,
            instances=objects,
            semantic=recolored(sample.semantic, self.order),
            labels=self._labels(sample.labels),
            known_classes=known,
        )

    def _labels(self, labels: np.ndarray | None) -> np.ndarray | None:
        if labels is None or self.one_class is None:
            return labels
        known = np.isin(np.arange(self.count), self.order)
        return widened(labels, self.order, known, self.one_class)


class _Renumbered(Sequence[Sample]):
    """Samples of a dataset with other class indices, read when they are needed."""

    def __init__(self, dataset: Dataset, new: _Renumbering) -> None:
        self.dataset, self.new, self.fields = dataset, new, dataset.fields
        if isinstance(dataset.samples, Bounded):
            self.max_objects = dataset.samples.max_objects

    def __len__(self) -> int:
        return len(self.dataset)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.new.sample(self.dataset[index])

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def semantic(self, index: int, size: ImageSize | None = None) -> np.ndarray | None:
        """Return the semantic mask of an image; None if the dataset has no masks."""
        return recolored(self.dataset.annotated(index).semantic, self.new.order)

    def part(self, indices: Sequence[int]) -> _Renumbered:
        """Return the samples at `indices`."""
        return _Renumbered(self.dataset.part(indices), self.new)

    def image_path(self, index: int) -> Any:
        """Return the location of an image."""
        return self.dataset.image_path(index)

    def location(self, index: int, row: int | None = None) -> str:
        """Return where an image, or one of its objects, is annotated."""
        return self.dataset.location(index, row)

    def counts(self) -> np.ndarray:
        """Return int64 (classes,): the number of objects, or of images, of each class."""
        total = np.zeros(self.new.count, np.int64)
        total[self.new.order] = self.dataset.counts()
        return total
