"""Reader of tables of numbers for each image, the targets of a regression."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.label_table import (
    dataset_of_table,
    existing,
    files_of_tool,
    image_column,
    number_of,
    opened,
    other_columns,
)
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.registry import register
from visiongarden.types import LabelMap


@register
class ValuesCSV(Reader):
    """Table of numbers for each image, the targets of a regression.

    One column contains the images, each other column a value; an empty cell or NaN is not known.
    Splits are files (`train.csv`, `val.csv`), folders, or a column `split`.

    Attributes:
        image_column: Name of the column of images; by default found by its name.
        columns: Columns of the values, in this order; by default all others.
        units: Unit of each value.

    Example:
        >>> ValuesCSV(columns=["angle", "throttle"]).columns
        ('angle', 'throttle')
    """

    files: ClassVar[str] = "table of numbers for each image: filename,angle,speed"
    annotations: ClassVar[frozenset[str]] = frozenset({"labels"})

    image_column: str | None = None
    columns: tuple[str, ...] | None = None
    units: tuple[str, ...] = ()

    def matches(self, source: Source) -> float:
        """Return 0.6 if all cells of a table are numbers, and are not labels.

        A table beside annotations or class folders is usually a summary of them.
        """
        return 0.6 if files_of_tool(source.root, "ValuesCSV") else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the splits of the tables."""
        return tuple(opened(source, "ValuesCSV").lines)

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        table = opened(source, "ValuesCSV")
        image = image_column(table, self.image_column, source.root)
        columns = self.columns or other_columns(table, image)
        existing(table, columns, source.root)
        label_map = LabelMap(columns, self.units) if columns else None
        return dataset_of_table(source, split, table, image, columns, number_of, label_map)
