"""Progress of long operations; library code logs and reports, and never prints.

Lines are logged to `LOGGER`, the logger "visiongarden": `logging.basicConfig(level="INFO")` shows
them, and Python shows warnings by default. What is replaced while an operation runs, such as a bar,
goes to the current `Reporter`: a line in a notebook, a bar on the command line, else nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

LOGGER = logging.getLogger("visiongarden")


class Reporter:
    """Base class of reporters, which shows nothing.

    Attributes:
        shows: Whether `update` shows anything; if not, callers need not prepare its text.
    """

    shows = False

    def update(self, title: str, done: int, total: int, text: str = "") -> None:
        """Replace the progress that is shown.

        Args:
            title: Name of the current stage, such as "epoch 3/26".
            done: Number of completed steps of the stage.
            total: Number of steps of the stage.
            text: Values to show beside it.
        """

    def close(self) -> None:
        """End the display; `update` may start it again."""


class NotebookReporter(Reporter):
    """Reporter that replaces one line below the cell of a notebook."""

    shows = True

    def __init__(self) -> None:
        self._line: Any = None

    def update(self, title: str, done: int, total: int, text: str = "") -> None:
        """Replace the line, which remains below the cell when the display ends."""
        display = sys.modules["IPython"].display.display
        shown = {"text/plain": f"{title}  {done}/{total}  {text}".rstrip()}
        if self._line is None:
            self._line = display(shown, raw=True, display_id=True)
        else:
            self._line.update(shown, raw=True)

    def close(self) -> None:
        """Leave the line as it is; the next one begins below it."""
        self._line = None


_CURRENT: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def reporter() -> Reporter:
    """Return the current reporter: that of `reporting_to`, or the default of the environment."""
    return _CURRENT.get() or (NotebookReporter() if _in_notebook() else Reporter())


@contextmanager
def reporting_to(current: Reporter) -> Iterator[None]:
    """Set the reporter of all operations inside the block, and close it at the end."""
    token = _CURRENT.set(current)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        current.close()


def _in_notebook() -> bool:
    # Only where IPython already runs; importing it would take a second.
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and hasattr(get_ipython(), "kernel")
