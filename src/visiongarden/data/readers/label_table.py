"""Tables with one line per image: columns of labels or of values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.build import images_in, no_split, row, size_of
from visiongarden.data.readers.delimited import rows_of
from visiongarden.data.readers.geometry import MAX_NUMBER
from visiongarden.data.readers.image_search import find_image, image_folders
from visiongarden.data.readers.other_tools import IMAGE_COLUMNS, OTHER_COLUMNS, UNKNOWN
from visiongarden.data.readers.reader import Source
from visiongarden.data.readers.split_files import split_files, tool_files
from visiongarden.data.readers.split_names import SPLIT_OF
from visiongarden.data.sample_table import located_in
from visiongarden.errors import DataError, nearest
from visiongarden.storage import safe_name
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, LabelMap

_SPLIT_COLUMNS = ("split", "set", "subset")

Line = tuple[str, Mapping[str, str]]
"""Location and cells by column."""


@dataclass(frozen=True)
class Table:
    """Lines of all tables of a dataset.

    Attributes:
        columns: Names of the columns, in the order of the first table.
        lines: Lines of each split.
    """

    columns: tuple[str, ...]
    lines: dict[str, list[tuple[Place, Line]]]


def files_of_tool(root: Place, tool: str) -> dict[str, list[Place]]:
    """Return the tables of each split that look like those of a reader."""
    return tool_files(root, tool, ".csv")


def opened(source: Source, tool: str) -> Table:
    """Read the tables of a dataset.

    Args:
        source: Dataset that is read.
        tool: Name of the reader. If no table looks like one of its own, all CSV files are read.

    Raises:
        DataError: There is no table, or one is not valid.
    """
    files = files_of_tool(source.root, tool)
    files = files or split_files(source.root, (".csv",))
    if not files:
        raise DataError(f"{source.root} has no table", rule="a CSV file")
    columns: tuple[str, ...] = ()
    lines: dict[str, list[tuple[Place, Line]]] = {}
    for split, group in files.items():
        for file in group:
            names, found = lines_of(file)
            if columns and set(names) != set(columns):
                raise DataError(
                    f"{file} has other columns than the first table",
                    rule=", ".join(columns)[:200],
                    received=", ".join(names)[:200],
                )
            columns = columns or names
            given = next((name for name in names if name.lower() in _SPLIT_COLUMNS), None)
            for line in found:
                lines.setdefault(_split_of(line, given, split), []).append((file, line))
    return Table(columns, lines)


def lines_of(file: Place) -> tuple[tuple[str, ...], list[Line]]:
    """Return the columns and lines of a CSV file with a header.

    Raises:
        DataError: The file is not CSV, a name of a column is missing or occurs twice, or a line has
            another number of cells.
    """
    lines: list[Line] = []
    names: tuple[str, ...] = ()
    for number, cells in rows_of(file):
        where = f"{file}:{number}"
        if not names:
            names = tuple(cells)
            if not all(names) or len(set(names)) < len(names):
                raise DataError(
                    f"{where}: a column has no name, or a name occurs twice",
                    rule="one name for each column",
                    received=", ".join(names)[:200],
                )
            continue
        if len(cells) != len(names):
            raise DataError(
                f"{where}: the line has {len(cells)} cells",
                rule=f"{len(names)}, as the header",
                received=",".join(cells)[:80],
            )
        lines.append((where, dict(zip(names, cells, strict=True))))
    if not names:
        raise DataError(f"{file} is empty", rule="a line with the names of the columns")
    return names, lines


def _split_of(line: Line, column: str | None, split: str) -> str:
    name = line[1].get(column or "", "")
    if not name:
        return split
    return SPLIT_OF.get(name.lower()) or safe_name(name, f"{line[0]}: the split")


def image_column(table: Table, given: str | None, root: Place) -> str:
    """Return the column that contains the images.

    Raises:
        DataError: The column does not exist, or none has a usual name.
    """
    if given is not None:
        return existing(table, [given], root)[0]
    names = {name.lower(): name for name in table.columns}
    found = next((names[name] for name in IMAGE_COLUMNS if name in names), None)
    if found is None:
        raise DataError(
            f"{root}: no column has a usual name of a column of images",
            rule=", ".join(IMAGE_COLUMNS),
            received=", ".join(table.columns)[:200],
            fix=f'image_column="{table.columns[0]}"',
        )
    return found


def existing(table: Table, names: Sequence[str], root: Place) -> tuple[str, ...]:
    """Return names of columns after checking that they exist.

    Raises:
        DataError: A column does not exist.
    """
    for name in names:
        if name not in table.columns:
            fix = nearest(name, table.columns)
            raise DataError(f"{root}: the table has no column {name!r:.60}", fix=fix)
    return tuple(names)


def other_columns(table: Table, image: str) -> tuple[str, ...]:
    """Return all columns but those of the image, its id, its size and its split."""
    others = (*OTHER_COLUMNS, *IMAGE_COLUMNS)
    return tuple(c for c in table.columns if c != image and c.lower() not in others)


def dataset_of_table(
    source: Source,
    split: str,
    table: Table,
    image: str,
    columns: Sequence[str],
    value_of: Callable[[str], float | None],
    label_map: LabelMap | None,
) -> Dataset:
    """Return one split.

    Args:
        source: Dataset that is read.
        split: Name of the split.
        table: Lines of all splits.
        image: Column of the images.
        columns: Columns of the labels.
        value_of: Function from the text of a cell to its value, NaN if it is not known; None if the
            text is not valid.
        label_map: Meaning of the columns; None if they are the classes.

    Raises:
        DataError: The split does not exist, or there is no column.
    """
    if split not in table.lines:
        raise no_split(source.root, split, table.lines)
    if not columns:
        raise DataError(f"{source.root}: the table has no column of labels")
    rows, seen = [], set()
    by_stem: dict[Place, dict[str, Place]] = {}
    for file, (where, cells) in table.lines[split]:
        path = _image_of(cells[image], file, source.root, split, by_stem)
        if path is None:
            if source.errors.includes(file.parent / cells[image].rpartition("/")[2]):
                missing = f"the image {cells[image]!r:.200} does not exist"
                source.errors.add(where, missing, "image")
            continue
        size = size_of(path, source.errors)
        if size is None:
            continue
        if str(path) in seen:
            source.errors.add(where, f"{path} appears twice in {split}", "listed-twice")
            continue
        seen.add(str(path))
        values = list(_values(where, cells, columns, value_of, source))
        rows.append(row(path, size, [], source.errors, image_labels=np.array(values, np.float32)))
    return Dataset.of_rows(
        ClassMap(tuple(columns)),
        rows,
        located_in(source.root),
        split=split,
        root=source.root,
        dropped=source.errors.dropped,
        label_map=label_map,
    )


def _image_of(
    name: str, file: Place, root: Place, split: str, by_stem: dict[Place, dict[str, Place]]
) -> Place | None:
    """Return the location of an image; an id may be its name without extension.

    Args:
        name: Text of the cell.
        file: Table that contains it.
        root: Root of the dataset.
        split: Name of the split.
        by_stem: Images of each folder by their names without extension, filled when needed.
    """
    if not name or "." in name or "/" in name or "\\" in name:
        return find_image(name, file.parent, root, split) if name else None
    for folder in image_folders(file.parent, root, split):
        if folder not in by_stem:
            by_stem[folder] = images_in(folder)
        if name in by_stem[folder]:
            return by_stem[folder][name]
    return find_image(name, file.parent, root, split)


def _values(
    where: str,
    cells: Mapping[str, str],
    columns: Sequence[str],
    value_of: Callable[[str], float | None],
    source: Source,
) -> Iterator[float]:
    for column in columns:
        value = value_of(cells[column])
        if value is None:
            what = f"{column!r:.60} is {cells[column]!r:.60}; expected a number"
            source.errors.add(where, what)
        yield math.nan if value is None else value


def flag_of(text: str) -> float | None:
    """Return 1, 0, or NaN of -1 and of an empty cell; None for any other text."""
    if text.lower() in UNKNOWN:
        return math.nan
    value = number_of(text)
    return {1.0: 1.0, 0.0: 0.0, -1.0: math.nan}.get(value) if value is not None else None


def number_of(text: str) -> float | None:
    """Return a finite number, or NaN of an empty cell; None for any other text."""
    if text.lower() in UNKNOWN:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < MAX_NUMBER else None
