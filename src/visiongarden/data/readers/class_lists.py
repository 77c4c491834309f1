"""Class names that are written at two places of a data set: compared, and put in one order."""

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
    """Raises where a `classes.txt` numbers the classes otherwise than the data set's YAML file.

    One of the two may go on where the other ends.

    Raises:
        DataError: names both files and the first class that differs.
    """
    for folder in sorted(set(folders), key=str):
        listed = class_names_in(folder) or ()
        for number, (ours, theirs) in enumerate(zip(names, listed, strict=False)):
            if ours != theirs:
                order = "in another order" if set(names) == set(listed) else "otherwise"
                raise DataError(
                    f"{folder / CLASSES} numbers the classes {order} than {file}",
                    rule=f"class {number} is {ours!r} in {file}",
                    received=f"{theirs!r} in {folder / CLASSES}",
                    fix="keep the order that the labels were written with: correct `names` in "
                    f"{file.name}, or delete {CLASSES}",
                )


def in_order(
    examples: Sequence[Example], own: Sequence[str], wanted: Sequence[str]
) -> tuple[Sequence[Example], tuple[int, ...]]:
    """The examples with their classes numbered as in `wanted`, and each class's id in the files.

    Nothing changes but where both hold the same names in another order.
    """
    if tuple(own) == tuple(wanted) or set(own) != set(wanted):
        return examples, ()
    order: Any = np.array([list(wanted).index(name) for name in own], np.int32)
    found = tuple(replace(example, classes=order[example.classes]) for example in examples)
    return found, tuple(list(own).index(name) for name in wanted)
