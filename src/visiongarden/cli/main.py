"""The program: runs a command, and turns what goes wrong into one paragraph and an exit code.

0: done. 1: done in part (`predict` skipped images or was interrupted), or a difference was found
(`verify`); also a bug. 2: nothing was done, because of the arguments or the input. 130: Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import typer

# Each file adds its commands to the app.
from visiongarden.cli import (  # noqa: F401
    cards,
    check,
    commands,
    darknet,
    data,
    figures,
    new,
    recipe,
    weights,
)
from visiongarden.cli.app import app
from visiongarden.cli.failures import INTERRUPTED, report
from visiongarden.errors import on_command_line


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line; never returns."""
    # TensorFlow speaks to its own developers by default.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        with on_command_line():
            code: Any = app(arguments, prog_name="visiongarden", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return report(KeyboardInterrupt(), debug)
    except Exception as error:
        # Typer's errors of usage know how to show themselves; their home has moved before.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        return report(error, debug)
    if code == INTERRUPTED:
        return report(KeyboardInterrupt(), debug)
    return code if isinstance(code, int) else 0
