"""Text for terminals: names from files are shown, and never obeyed.

A file's name may hold the sequences that clear a screen, set a window's title or turn the direction
of writing. They are written as escapes, `\\x1b`, wherever text is printed or raised.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# C0 without tab and line feed, DEL, C1; marks and overrides of direction, line and paragraph ends
# of Unicode; halves of characters, which no terminal prints.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: object) -> str:
    """Return text with control characters as escapes; line feeds and tabs stay."""
    return _CONTROL.sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def console(**options: Any) -> Console:
    """Return rich's console, which prints all text as `printable`."""
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):
        def render(self, renderable: Any, options: Any = None) -> Any:
            # rich's own sequences are added later, or are control segments.
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else printable(text), style, control)

    return Escaping(**options)
