"""Comparison and reordering of class names that a dataset defines in two places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from visiongarden.data.combined import has_one_class, widened
from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.build import CLASSES, class_names_in
from visiongarden.data.rows import Row
from visiongarden.data.sample_table import SampleTable
from visiongarden.errors import DataError
from visiongarden.samples import Sample
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap


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
    one_class = has_one_class(found) if found.label_map is None else None
    if isinstance(found.samples, SampleTable):
        rows = [_renumbered_row(row, order, len(wanted), one_class) for row in found.rows()]
        return replace(found, class_map=class_map, categories=()).with_rows(rows)
    samples = [_renumbered(found[i], order, len(wanted), one_class) for i in range(len(found))]
    return replace(found, class_map=class_map, samples=samples, categories=())


def _renumbered(sample: Sample, order: np.ndarray, count: int, one_class: bool | None) -> Sample:
    objects = sample.instances
    if objects.classes is not None:
        objects = objects.replace(classes=order[objects.classes])
    labels = sample.labels
    if labels is not None and one_class is not None:
        labels = _widened(labels, order, count, one_class)
    return replace(sample, instances=objects, labels=labels)


def _renumbered_row(row: Row, order: np.ndarray, count: int, one_class: bool | None) -> Row:
    labels = row.labels
    if labels is not None and one_class is not None:
        labels = _widened(labels, order, count, one_class)
    return replace(row, classes=order[row.classes], labels=labels)


def _widened(labels: np.ndarray, order: np.ndarray, count: int, one_class: bool) -> np.ndarray:
    return widened(labels, order, np.isin(np.arange(count), order), one_class)
