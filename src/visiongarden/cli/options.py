"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_FORMAT = typer.Option(help="coco, yolo, voc, csv, arrayrecord, folders, masks or auto.")
_INVALID = typer.Option(help="Boxes outside the image or without area: error, drop.")
Format = Annotated[str, _FORMAT]
FormatOrNone = Annotated[str | None, _FORMAT]
InvalidBoxes = Annotated[str, _INVALID]
InvalidBoxesOrNone = Annotated[str | None, _INVALID]
OneBased = Annotated[
    bool, typer.Option("--one-based", help="VOC corners count from 1, as in the original VOC.")
]
TaskOrNone = Annotated[
    str | None,
    typer.Option(help="detection, classification or segmentation."),
]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="Module to import first."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]
ModelFile = Annotated[Path, typer.Argument(help="Model file (.keras).")]
