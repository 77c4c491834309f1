"""Print text from files safely on a terminal.

A file name can contain the control sequences that clear the screen, set the window title or reverse
the direction of writing. Wherever text is printed or raised as an error, they are replaced by
visible escapes such as `\\x1b`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

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


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def console(**options: Any) -> Console:
    """Return a rich console that replaces control characters in all text, as `printable` does."""
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):
        def render(self, renderable: Any, options: Any = None) -> Any:
            # Text is escaped per segment: rich adds the escape sequences of its styles later, and
            # marks its own control sequences as control segments.
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else printable(text), style, control)

    return Escaping(**options)
