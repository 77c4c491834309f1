"""Text for a terminal: safe output of text from files, and tables.

A file name can contain the control sequences that clear the screen, set the window title or reverse
the direction of writing. Wherever text is printed or raised as an error, they are replaced by
visible escapes such as `\\x1b`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

WIDTH = 100
"""Width of tables in columns of the terminal."""

_GAP = 2

# C0 controls without tab and line feed; DEL and C1 controls; Unicode's marks and overrides of the
# writing direction, line and paragraph separators; surrogates, which cannot be encoded as UTF-8.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: object) -> str:
    """Replace control characters by visible escapes; line feeds and tabs are kept.

    Example:
        >>> printable("a" + chr(27) + "[2J")
        'a\\\\x1b[2J'
    """
    return _CONTROL.sub(_escape, str(text))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1.

    Example:
        >>> counted(1, "image"), counted(2000, "box")
        ('1 image', '2,000 boxes')
    """
    ending = "" if count == 1 else "es" if noun.endswith(("s", "x")) else "s"
    return f"{count:,} {noun}{ending}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Collection[str] = (),
    width: int = WIDTH,
) -> str:
    """Format rows as a plain-text table; control characters are escaped.

    Where the table is too wide, the cells of its widest columns are folded into several lines.

    Args:
        headers: Title of each column.
        rows: Cells of each row; an empty row is an empty line.
        right: Titles of the columns that are aligned to the right.
        width: Maximum width, in columns of the terminal.

    Example:
        >>> print(table(("class", "AP"), [("cat", "0.512")], right=("AP",)))
        class     AP
        ────────────
        cat    0.512
    """
    filled = [[_lines(cell) for cell in row] for row in (headers, *rows)]
    widths = [
        max(_width(line) for row in filled if row for line in row[column])
        for column in range(len(headers))
    ]
    _narrow(widths, width - _GAP * (len(widths) - 1))
    sides = [header in right for header in headers]
    printed = [_row(row, widths, sides) for row in filled]
    rule = "─" * (sum(widths) + _GAP * (len(widths) - 1))
    return "\n".join([printed[0], rule, *printed[1:]])


def wrapped(text: str, width: int = WIDTH) -> str:
    """Break the lines of a text that are wider than a table; control characters are escaped."""
    return "\n".join(part for line in printable(text).split("\n") for part in _folded(line, width))


def _lines(cell: object) -> list[str]:
    return printable(cell).expandtabs(4).split("\n")


def _width(text: str) -> int:
    """Return the number of columns that a text occupies on a terminal."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _narrow(widths: list[int], limit: int) -> None:
    """Reduce the widest columns until all of them fit; none becomes narrower than 8."""
    while sum(widths) > limit and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1


def _row(row: Sequence[list[str]], widths: list[int], right: list[bool]) -> str:
    columns = [
        [part for line in lines for part in _folded(line, width)]
        for lines, width in zip(row, widths, strict=False)
    ]
    height = max(map(len, columns), default=1)
    printed = []
    for index in range(height):
        cells = [column[index] if index < len(column) else "" for column in columns]
        padded = [
            " " * (width - _width(cell)) + cell if side else cell + " " * (width - _width(cell))
            for cell, width, side in zip(cells, widths, right, strict=False)
        ]
        printed.append((" " * _GAP).join(padded).rstrip())
    return "\n".join(printed)


def _folded(text: str, width: int) -> list[str]:
    """Break a line at its spaces, and words that are wider than the column within."""
    lines = []
    while _width(text) > width:
        end, used = 0, 0
        while used + _columns(text[end]) <= width:
            used += _columns(text[end])
            end += 1
        space = text.rfind(" ", 1, end + 1)
        end = space if space > 0 else max(end, 1)
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return [*lines, text]
