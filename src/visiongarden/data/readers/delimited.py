"""Rows of CSV files, whose cells are separated by commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

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


def rows_of(file: Place) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row of a CSV file that is not empty.

    Cells have no white space around them. If commas do not separate cells, decimal commas become
    points.

    Raises:
        DataError: The file cannot be read, or is not CSV.
    """
    text = read_text(file)
    delimiter = delimiter_of(text.lstrip().partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for words in reader:
            cells = [word.strip() for word in words]
            if delimiter != ",":
                cells = [_with_point(cell) for cell in cells]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(
            f"{file}:{reader.line_num}: the line is not valid CSV", received=str(error)
        ) from error


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell
