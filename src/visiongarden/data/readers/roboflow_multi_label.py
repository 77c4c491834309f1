"""Reader of Roboflow's multi-label exports: `_classes.csv` in the folder of each split."""

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
class RoboflowMultiLabel(Reader):
    """Roboflow's multi-label classification: `_classes.csv` in the folder of each split.

    Example:
        >>> RoboflowMultiLabel().to_dict()
        {'type': 'RoboflowMultiLabel'}
    """

    files: ClassVar[str] = "Roboflow multi-label: _classes.csv in the folder of each split"
    annotations: ClassVar[frozenset[str]] = frozenset({"labels"})

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is a `_classes.csv`."""
        return 0.95 if files_of_tool(source.root, "RoboflowMultiLabel") else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the folders `train`, `val` and `test`; "train" without them."""
        return tuple(opened(source, "RoboflowMultiLabel").lines)

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        table = opened(source, "RoboflowMultiLabel")
        image = image_column(table, None, source.root)
        columns = source.class_names or other_columns(table, image)
        existing(table, columns, source.root)
        return dataset_of_table(source, split, table, image, columns, flag_of, None)
