"""Reader of tables of several labels for each image: a column of images, and one for each class."""

from __future__ import annotations

from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.label_table import (
    dataset_of_table,
    existing,
    files_of_tool,
    flag_of,
    image_column,
    opened,
    other_columns,
)
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.registry import register


@register
class MultiLabelCSV(Reader):
    """Table of several labels for each image (multi-label classification).

    One column contains the images, each other column a class: 1 if it applies, 0 if not; -1 or an
    empty cell if it is not known, which is NaN in `Sample.labels`. Splits are files (`train.csv`,
    `val.csv`), folders, or a column `split`.

    Attributes:
        image_column: Name of the column of images; by default found by its name.
        columns: Columns of the classes; by default all others.

    Example:
        >>> MultiLabelCSV(columns=["cat", "dog"]).columns
        ('cat', 'dog')
    """

    files: ClassVar[str] = (
        "table of several labels for each image: filename,cat,dog with 1, 0 or -1"
    )
    annotations: ClassVar[frozenset[str]] = frozenset({"labels"})

    image_column: str | None = None
    columns: tuple[str, ...] | None = None

    def matches(self, source: Source) -> float:
        """Return 0.6 if all cells of a table are 0, 1, -1 or empty.

        A table beside annotations or class folders is usually a summary of them.
        """
        return 0.6 if files_of_tool(source.root, "MultiLabelCSV") else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the splits of the tables."""
        return tuple(opened(source, "MultiLabelCSV").lines)

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        table = opened(source, "MultiLabelCSV")
        image = image_column(table, self.image_column, source.root)
        columns = self.columns or source.class_names or other_columns(table, image)
        existing(table, columns, source.root)
        return dataset_of_table(source, split, table, image, columns, flag_of, None)
