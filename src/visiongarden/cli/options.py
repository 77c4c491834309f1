"""Options that several commands share."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from visiongarden.errors import UserError

_FORMAT = typer.Option(help="Format of the annotations: coco, yolo, voc, or auto to look.")
_INVALID = typer.Option(help="Boxes outside the image or without area: error, or drop and list.")
Format = Annotated[str, _FORMAT]
FormatOrNone = Annotated[str | None, _FORMAT]
InvalidBoxes = Annotated[str, _INVALID]
InvalidBoxesOrNone = Annotated[str | None, _INVALID]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="Import this module of yours first."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
ModelFile = Annotated[Path, typer.Argument(help="A .keras file that visiongarden saved.")]


def import_modules(names: list[str] | None) -> None:
    """Imports the modules that the person named; the working directory counts as for `python -m`.

    Raises:
        UserError: no such module, or it fails while it is imported.
    """
    if names and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    for name in names or []:
        try:
            importlib.import_module(name)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"--import {name} failed: {type(error).__name__}: {error}",
                rule="a module that Python finds from the working directory",
                received=f"working directory {Path.cwd()}",
            ) from error
