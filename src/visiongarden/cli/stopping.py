"""`exits_when_stopped`: the exit code of a command that a system stopped by a signal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from visiongarden.cli.failures import STOPPED


@contextmanager
def exits_when_stopped() -> Iterator[None]:
    """End the command with exit code 143 if SIGTERM or SIGUSR1 stopped a run inside."""
    from visiongarden.training import Stopped

    try:
        yield
    except Stopped as stopped:
        # Typer would take it for Ctrl-C, as every KeyboardInterrupt.
        print(stopped, file=sys.stderr)
        raise typer.Exit(STOPPED) from stopped
