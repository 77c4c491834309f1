"""The program: runs a command, and turns what goes wrong into one paragraph and an exit code.

0: done. 1: a fault of ours. 2: something the user can mend. 130: Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

import click

from visiongarden.cli.commands import app
from visiongarden.errors import UserError


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line; never returns."""
    # TensorFlow speaks to its own developers by default.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    sys.exit(_run(arguments, debug))


def _run(arguments: list[str], debug: bool) -> int:
    try:
        code = app(arguments, prog_name="visiongarden", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UserError as error:
        if debug:
            traceback.print_exc()
        _tell(f"error: {error}")
        return 2
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except KeyboardInterrupt:
        _tell("stopped by Ctrl-C")
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        _tell(
            f"error: {type(error).__name__}: {error}\n"
            "  This is a fault of visiongarden; the same command with --debug shows where."
        )
        return 1


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
