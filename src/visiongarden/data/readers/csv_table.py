"""Reader of CSV tables: one line per box with image, x1, y1, x2, y2 (pixels) and class.

An image without boxes has a line with blanks. With a header, the columns may have any order and any
of the names in `_COLUMNS`, and a column `split` may assign images to splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, wrong_size
from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import (
    Label,
    by_hash,
    class_names_in,
    no_split,
    row,
    size_of,
)
from visiongarden.data.readers.delimited import rows_of
from visiongarden.data.readers.image_search import end_inside
from visiongarden.data.readers.other_tools import all_other, is_other
from visiongarden.data.readers.plain_values import whole
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.rows import Row
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage import safe_name
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, ImageSize

_COLUMNS = {
    "path": ("path", "image", "image_path", "file", "filename", "file_name"),
    "x1": ("x1", "xmin", "x_min", "left"),
    "y1": ("y1", "ymin", "y_min", "top"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
    "class": ("class", "label", "name", "class_name"),
    "split": ("split", "set", "subset"),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
}
COLUMN_NAMES = frozenset(name for names in _COLUMNS.values() for name in names)
_PLAIN = ("path", "x1", "y1", "x2", "y2", "class")
READ = (*_PLAIN, "split")
"""Columns that are interpreted; other columns are passed on to writers unchanged."""
_NAMES = ("annotations.csv", "labels.csv")

Line = tuple[int, Mapping[str, str]]
"""Number of a line, and its values by column."""


@register
class CSV(Reader):
    """Reader of CSV tables: one line for each box.

    The files are `train.csv` and `val.csv`, or one file, with the columns path, x1, y1, x2, y2,
    class, with or without a header. One file without a column `split` is split 80/10/10 by a hash
    of the file names. The classes are all names that occur, sorted, unless `classes.txt` lists
    them.

    Example:
        >>> vg.read("cells.csv", reader="CSV")  # doctest: +SKIP
    """

    files: ClassVar[str] = "train.csv, or annotations.csv, with path, x1, y1, x2, y2, class"
    lists_classes: ClassVar[bool] = False
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def matches(self, source: Source) -> float:
        """Return 0.7 if the first line of a file is that of a table of boxes.

        A table beside annotations of another format is usually a summary of them.
        """
        path = source.root
        if path.is_file():
            found = path.suffix == ".csv" and not is_other(path)
        else:
            files = list(_files(path).values())
            found = bool(files) and not all_other(files)
        return 0.0 if not found else 0.7 if _has_boxes(path) else 0.4

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits."""
        files = _files(source.root)
        if None not in files:
            return tuple(split for split in files if split is not None)
        named = {line.get("split") or by_hash(line["path"]) for _, line in _lines(files[None])}
        return tuple(sorted(named, key=lambda name: (name != "train", name)))

    def is_divisible(self, source: Source) -> bool:
        """Return whether there is one table for each split."""
        return source.root.is_dir() and None not in _files(source.root)

    def read(self, source: Source, split: str) -> Dataset:
        """Read one split."""
        path, errors = source.root, source.errors
        files = _files(path)
        if not files:
            raise DataError(
                f"{path} has no CSV file", rule="train.csv and val.csv, or annotations.csv"
            )
        if None not in files and split not in files:
            raise no_split(path, split, [name for name in files if name])
        # The classes must be the same in all splits.
        tables = {name: list(_lines(file)) for name, file in files.items()}
        file = files[split] if split in files else files[None]
        names = source.class_names or class_names_in(file.parent) or _names(path, tables)
        class_map = ClassMap(names)
        by_image: dict[str, list[Line]] = {}
        for number, line in tables[split if split in files else None]:
            if split in files or (line.get("split") or by_hash(line["path"])) == split:
                by_image.setdefault(line["path"], []).append((number, line))
        if not by_image and None in files:
            raise no_split(path, split, self.splits(source))
        folders = [file.parent, file.parent / "images", file.parent / split]
        rows: list[Row] = []
        for name, own in by_image.items():
            image = next((f / name for f in folders if (f / name).is_file()), None)
            image = image or end_inside(name, folders, file.parent) or folders[0] / name
            size = size_of(image, errors)
            if size is not None and _same_size(file, own, size, errors):
                labels = [
                    found for line in own if (found := _label(file, *line, class_map, errors))
                ]
                given = sum(any(line[key] for key in _PLAIN[1:]) for _, line in own)
                rows.append(row(image, size, labels, errors, given))
        return Dataset.of_rows(class_map, rows, self.located(path), split=split, root=path)


def _has_boxes(path: Place) -> bool:
    """Return whether the first line of one of the files is that of a table of boxes."""
    files = [path] if path.is_file() else list(_files(path).values())
    for file in files:
        try:
            line = next(_lines(file), None)
            if line is not None:
                _ = [float(line[1][key]) for key in _PLAIN[1:5] if line[1][key]]
                return True
        except (DataError, ValueError):
            continue
    return False


def _same_size(file: Place, lines: list[Line], size: ImageSize, errors: ErrorList) -> bool:
    for number, line in lines:
        given = [line.get("height") or str(size[0]), line.get("width") or str(size[1])]
        stated = tuple(map(whole, given))
        if stated != tuple(size):
            swapped = stated == tuple(size[::-1])
            errors.add(
                f"{file}:{number}", wrong_size(size[::-1] if swapped else given, size), "size"
            )
            return False
    return True


def _label(
    file: Place, number: int, row: Mapping[str, str], class_map: ClassMap, errors: ErrorList
) -> Label | None:
    where = f"{file}:{number}"
    texts = [row[key] for key in _PLAIN[1:]]
    if not any(texts):
        return None  # the image has no object
    name = texts.pop()
    errors.ids[name] += 1
    if name not in class_map.by_name:
        known = ", ".join(class_map.names)
        errors.add(where, f"class {name!r:.60} is not in the class map: {known:.200}", "id")
        return None
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        errors.add(where, f"the corners are not four numbers: {', '.join(texts)[:80]}")
        return None
    extra = {key: value for key, value in row.items() if key not in READ}
    return Label(where, (x1, y1, x2, y2), class_map.by_name[name], extra=extra)


def _lines(file: Place) -> Iterator[Line]:
    """Iterate over the lines of a table as (line number, values by column).

    Raises:
        DataError: The file is not CSV, or a line has too few values.
    """
    columns: dict[str, int] = {}
    for number, words in rows_of(file):
        if not columns:
            columns = _header(file, words)
            if words[columns["x1"] : columns["x1"] + 1] and _is_header(words):
                continue
        if len(words) <= max(columns[key] for key in _PLAIN) or not words[columns["path"]]:
            raise DataError(
                f"{file}:{number}: the line has {len(words)} values",
                rule="image, x1, y1, x2, y2, class",
                received=",".join(words)[:80],
            )
        row = {key: words[i] for key, i in columns.items() if i < len(words)}
        if row.get("split"):
            safe_name(row["split"], f"{file}:{number}: the split")
        yield number, row


def _is_header(words: list[str]) -> bool:
    return len({word.lower() for word in words} & COLUMN_NAMES) >= len(_PLAIN)


def _header(file: Place, words: list[str]) -> dict[str, int]:
    if not _is_header(words):
        return {key: i for i, key in enumerate(_PLAIN)}
    lower = [word.lower() for word in words]
    found = {
        key: next((lower.index(name) for name in names if name in lower), -1)
        for key, names in _COLUMNS.items()
    }
    missing = [key for key in _PLAIN if found[key] < 0]
    if missing:
        raise DataError(
            f"{file} has no column {', '.join(missing)}", rule=f"columns {', '.join(_PLAIN)}"
        )
    # The text of other columns is kept. If two have the same name, the last one is kept.
    used = set(found.values())
    others = {words[i]: i for i in range(len(words)) if i not in used and words[i]}
    return {key: i for key, i in (others | found).items() if i >= 0}


def _names(path: Place, tables: Mapping[str | None, list[Line]]) -> tuple[str, ...]:
    names = {row["class"] for rows in tables.values() for _, row in rows} - {""}
    if not names:
        raise DataError(f"{path}: no line has a class name")
    return tuple(sorted(names))


def _files(path: Place) -> dict[str | None, Place]:
    """Return the file of each split; the key None is a file that contains all splits."""
    if path.is_file():
        return {None: path}
    names = names_in(path, ".csv")
    aliases = {"train": "train", "val": "val", "valid": "val", "test": "test"}
    found: dict[str | None, Place] = {
        aliases[name[:-4]]: path / name for name in names if name[:-4] in aliases
    }
    if not found:
        one = next((name for name in _NAMES if name in names), None)
        return {} if one is None else dict.fromkeys([None], path / one)
    return found
