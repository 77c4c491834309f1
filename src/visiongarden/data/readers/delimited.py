"""Rows of CSV files, whose cells are separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from visiongarden.data.readers.build import read_text
from visiongarden.errors import DataError
from visiongarden.storage.place import Place

_DELIMITERS = (",", ";", "\t")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


def delimiter_of(line: str) -> str:
    """Return the delimiter of a table by its first line; a comma if none occurs.

    Spreadsheets write semicolons where the decimal separator is a comma.

    Example:
        >>> delimiter_of("filename;angle;speed")
        ';'
    """
    return max(_DELIMITERS, key=line.count)


def cells_of(words: Iterable[str], delimiter: str) -> list[str]:
    """Return the cells of a row without the white space around them.

    Decimal commas become points if commas do not separate the cells.
    """
    cells = [word.strip() for word in words]
    return cells if delimiter == "," else [_with_point(cell) for cell in cells]


def rows_of(file: Place) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row of a CSV file that is not empty.

    Cells are those of `cells_of`.

    Raises:
        DataError: The file cannot be read, or is not CSV.
    """
    text = read_text(file)
    delimiter = delimiter_of(text.lstrip().partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for words in reader:
            cells = cells_of(words, delimiter)
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(
            f"{file}:{reader.line_num}: the line is not valid CSV", received=str(error)
        ) from error


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell
