"""Writer of CSV tables with one row per box."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.rows import Row
from visiongarden.data.writers.checked import CheckedWriter
from visiongarden.data.writers.held import Held, columns, drop_keys_of_files, drop_scheme, objects
from visiongarden.data.writers.images import Splits, named
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.splits import one_map, write_classes, write_file
from visiongarden.registry import register
from visiongarden.samples.unknown_keys import unpack
from visiongarden.storage import path_inside


@register
class CSVWriter(CheckedWriter):
    """Writer of `<split>.csv` with a header, `images/<split>/`, and the classes in `classes.txt`.

    Boxes and classes are stored.
    """

    format: ClassVar[str] = "csv"
    reader: ClassVar[str] = "CSV"

    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files; see `CheckedWriter.fill`."""
        write_classes(one_map(splits).names, folder)
        drop_keys_of_files(splits, lost)
        for split, dataset in splits.items():
            drop_scheme(split, dataset.scheme, lost)
            with path_inside(folder, f"{split}.csv", what="the split").open(
                "w", newline="", encoding="utf-8"
            ) as stream:
                _write(csv.writer(stream), split, dataset, folder, lost)

    def holds(self, splits: Splits) -> Callable[[Row], Held]:
        """Return what CSV stores; see `CheckedWriter.holds`."""
        return columns


def _write(writer: Any, split: str, dataset: Dataset, folder: Path, lost: Lost) -> None:
    keys: dict[str, None] = {}
    for row in dataset.rows():
        if row.unknown is not None:
            held, _ = columns(row)
            keys |= {key: None for own in unpack(held.unknown, len(row.classes))[1] for key in own}
    writer.writerow(["path", "x1", "y1", "x2", "y2", "class", *keys])
    for name, row, raw in named(split, dataset, lost):
        write_file(folder, "images", split, name, content=raw)
        path = f"images/{split}/{name}"
        held, dropped = columns(row)
        lost.of(name, dropped)
        every = unpack(held.unknown, len(row.classes))[1]
        for (box, index, _, _), own in zip(objects(held), every, strict=True):
            values = [own.get(key, "") for key in keys]
            writer.writerow([path, *map(repr, box), dataset.class_map.names[index], *values])
        if not len(row.boxes):
            writer.writerow([path, "", "", "", "", "", *([""] * len(keys))])
