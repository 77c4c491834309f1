"""HTML that notebooks show for models, specs, results and reports.

All text is escaped: names from files must not become markup. There are no scripts, and nothing is
loaded from elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from visiongarden.terminal import printable

if TYPE_CHECKING:
    import numpy as np

_MAX_SIDE = 960
_MAX_PNG_BYTES = 200_000

_LEFT = "text-align: left"


class Preformatted:
    """Base class of reports that notebooks show as the text that `str` returns."""

    def _repr_html_(self) -> str:
        return preformatted(self)


def safe(text: object) -> str:
    """Escape text for HTML, and replace control characters by visible escapes."""
    return escape(printable(str(text)))


def section(title: object, *blocks: str) -> str:
    """Return a block with a title.

    Args:
        title: text of the title, which is escaped.
        *blocks: HTML of the content.
    """
    return f"<div><p><b>{safe(title)}</b></p>{''.join(blocks)}</div>"


def table(
    headings: Sequence[object], rows: Iterable[Sequence[object]], limit: int | None = None
) -> str:
    """Return a table; all cells are escaped.

    Args:
        headings: text of the heading of each column.
        rows: text or numbers of each row.
        limit: largest number of rows; the number of further rows is added below the table.
    """
    listed = list(rows)
    if not listed:
        return ""
    shown = listed if limit is None else listed[:limit]
    lines = [_row("th", headings), *(_row("td", row) for row in shown)]
    more = len(listed) - len(shown)
    rest = f"<p>… {more:,} more</p>" if more else ""
    return f"<table>{''.join(lines)}</table>{rest}"


def preformatted(text: object) -> str:
    """Return text with its line breaks and columns."""
    return f"<pre>{safe(text)}</pre>"


def paragraph(text: object) -> str:
    """Return a paragraph of text."""
    return f"<p>{safe(text)}</p>"


def details(title: object, lines: Iterable[object]) -> str:
    """Return a list that opens with a click on its title, without a script."""
    listed = "".join(f"<li>{safe(line)}</li>" for line in lines)
    return f"<details><summary>{safe(title)}</summary><ul>{listed}</ul></details>"


def picture(image: np.ndarray) -> str:
    """Return an image as part of the page, at most 960 pixels wide and high.

    Args:
        image: uint8 RGB (height, width, 3).
    """
    # Imported here: `types` imports this module, and must stay light for the loader's workers.
    import cv2

    ratio = _MAX_SIDE / max(image.shape[:2])
    if ratio < 1:
        width, height = (max(round(side * ratio), 1) for side in image.shape[1::-1])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    bgr = image[..., ::-1].copy()
    content, kind = cv2.imencode(".png", bgr)[1], "png"
    if content.size > _MAX_PNG_BYTES:
        # Without subsampling of the colors, which would blur thin lines and text.
        full = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        content, kind = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90, *full])[1], "jpeg"
    encoded = base64.b64encode(content.tobytes()).decode()
    return f'<img alt="prediction" src="data:image/{kind};base64,{encoded}">'


def _row(tag: str, cells: Sequence[object]) -> str:
    inside = "".join(f'<{tag} style="{_LEFT}">{safe(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inside}</tr>"
