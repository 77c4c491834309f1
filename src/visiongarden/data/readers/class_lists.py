"""Comparison and reordering of class names that a dataset defines in two places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from visiongarden.data.readers.build import CLASSES, class_names_in
from visiongarden.errors import DataError
from visiongarden.storage.place import Place
from visiongarden.types import Example


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
    examples: Sequence[Example], own: Sequence[str], wanted: Sequence[str]
) -> tuple[Sequence[Example], tuple[int, ...]]:
    """Renumber the classes of examples from the order `own` to the order `wanted`.

    Nothing changes unless both contain the same names in a different order.

    Returns:
        The examples, and for each class the id that the files use; empty if nothing changes.
    """
    if tuple(own) == tuple(wanted) or set(own) != set(wanted):
        return examples, ()
    order: Any = np.array([list(wanted).index(name) for name in own], np.int32)
    found = tuple(replace(example, classes=order[example.classes]) for example in examples)
    return found, tuple(list(own).index(name) for name in wanted)
