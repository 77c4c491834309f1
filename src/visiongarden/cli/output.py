"""Output of commands: results on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import typer

from visiongarden.progress import LOGGER, Reporter, reporting_to
from visiongarden.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def echo(text: object, err: bool = False) -> None:
    """Print text that may contain names from files, with control characters escaped."""
    typer.echo(printable(text), err=err)


def emit(value: Any, as_json: bool, text: object = None) -> None:
    """Print a result on stdout, as JSON or as text.

    Args:
        value: Result, whose `to_dict()` or fields become JSON; NaN and infinity become null.
        as_json: Whether to print JSON.
        text: Text to print otherwise. Defaults to `str(value)`.
    """
    if as_json:
        typer.echo(json.dumps(plain(value), indent=1, allow_nan=False))
    else:
        echo(value if text is None else text)


@runtime_checkable
class _Convertible(Protocol):
    """A result that converts itself to plain values."""

    def to_dict(self) -> dict[str, Any]: ...


def plain(value: Any) -> Any:
    """Convert a result to dicts, lists, strings, numbers and None."""
    if isinstance(value, _Convertible):
        return plain(value.to_dict())
    if is_dataclass(value):
        return {field.name: plain(vars(value)[field.name]) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if hasattr(value, "tolist"):  # NumPy
        return plain(value.tolist())
    return str(value)


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


class TerminalReporter(Reporter):
    """Reporter that shows a bar if stderr is a terminal, and prints lines above it."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: Any = None

    @property
    def shows(self) -> bool:  # type: ignore[override]
        """Whether a bar is shown: on a terminal, without --quiet."""
        return sys.stderr.isatty() and LOGGER.isEnabledFor(logging.INFO)

    def update(self, title: str, done: int, total: int, text: str = "") -> None:
        """Replace the bar."""
        if not self.shows:
            return
        if self._bar is None:
            self._bar = _bar()
            self._task = self._bar.add_task("", total=total, title=title, text=text)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total, title=title, text=text)

    def line(self, text: str) -> None:
        """Print text above the bar."""
        if self._bar is None:
            echo(text, err=True)
        else:
            # Paths and values may contain brackets, which rich would read as markup.
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.fields[title]}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=console(stderr=True),
        refresh_per_second=8,
        transient=True,
    )


class _Lines(logging.Handler):
    def __init__(self, reporter: TerminalReporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        self._reporter.line(prefix + record.getMessage())


@contextmanager
def on_terminal() -> Iterator[None]:
    """Show progress and what the library logs on stderr, while a command runs."""
    reporter = TerminalReporter()
    handler = _Lines(reporter)
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        with reporting_to(reporter):
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate


def set_level(ctx: typer.Context, option: str, level: int) -> None:
    """Set which messages are shown; only one option may do so."""
    if "level" in ctx.meta:
        raise typer.BadParameter(f"{ctx.meta['level']} and {option} cannot be combined")
    ctx.meta["level"] = option
    LOGGER.setLevel(level)
