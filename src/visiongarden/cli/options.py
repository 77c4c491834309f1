"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_FORMAT = typer.Option(
    help="Of the data: coco, yolo, voc, csv, arrayrecord, folders (of classes), masks, or auto."
)
_INVALID = typer.Option(help="Boxes outside the image or without area: error, or drop and list.")
Format = Annotated[str, _FORMAT]
FormatOrNone = Annotated[str | None, _FORMAT]
InvalidBoxes = Annotated[str, _INVALID]
InvalidBoxesOrNone = Annotated[str | None, _INVALID]
OneBased = Annotated[
    bool, typer.Option("--one-based", help="VOC corners count from 1, as the original VOC's.")
]
TaskOrNone = Annotated[
    str | None,
    typer.Option(help="detection, classification or segmentation; by default what the data is."),
]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="Import this module of yours first."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
ModelFile = Annotated[Path, typer.Argument(help="A .keras file that visiongarden saved.")]
