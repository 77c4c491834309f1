"""Entry point: run a command, and turn an error into one paragraph and an exit code.

`app.EXIT_CODES` lists the exit codes.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer

from visiongarden.backends.large_pages import use_large_pages
from visiongarden.backends.optional_imports import skip_optional_imports

# Each module adds its commands to the app when it is imported.
from visiongarden.cli import (  # noqa: F401
    cards,
    check,
    commands,
    darknet,
    data,
    inspect,
    new,
    prove,
    recipe,
    weights,
)
from visiongarden.cli.app import app
from visiongarden.cli.failures import INTERRUPTED, report
from visiongarden.cli.output import on_terminal
from visiongarden.errors import on_command_line


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit the process with its code.

    Args:
        arguments: Arguments of the program. Defaults to those of the process.
    """
    if arguments is None:
        if sys.argv[1:2] == ["train"]:
            use_large_pages()
        skip_optional_imports()
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        with on_command_line(), on_terminal():
            code: Any = app(arguments, prog_name="visiongarden", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return report(KeyboardInterrupt(), debug)
    except Exception as error:
        # Usage errors of Typer print themselves. They are recognized by their attributes, because
        # the module of their class has changed between versions.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        return report(error, debug)
    if code == INTERRUPTED:  # Typer turns Ctrl-C into this exit code
        return report(KeyboardInterrupt(), debug)
    return code if isinstance(code, int) else 0
