"""Options shared by several commands."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli import completion
from visiongarden.cli.output import set_level


def _quiet(ctx: typer.Context, value: bool) -> None:
    if value:
        set_level(ctx, "--quiet", logging.WARNING)


def _verbose(ctx: typer.Context, value: bool) -> None:
    if value:
        set_level(ctx, "--verbose", logging.DEBUG)


_FORMAT = typer.Option(
    help="coco, yolo, voc, csv, arrayrecord, folders, masks or auto.",
    autocompletion=completion.formats,
)
_INVALID = typer.Option(
    help="Boxes outside the image or without area: error, drop.",
    autocompletion=completion.invalid_boxes,
)
Format = Annotated[str, _FORMAT]
ReaderName = Annotated[
    str,
    typer.Option(
        help="Reader of the dataset: auto, or a name, such as COCO.",
        autocompletion=completion.readers,
    ),
]
FormatOrNone = Annotated[str | None, _FORMAT]
InvalidBoxes = Annotated[str, _INVALID]
InvalidBoxesOrNone = Annotated[str | None, _INVALID]
OneBased = Annotated[
    bool, typer.Option("--one-based", help="VOC corners count from 1, as in the original VOC.")
]
TaskOrNone = Annotated[
    str | None,
    typer.Option(
        help="detection, classification or segmentation.", autocompletion=completion.tasks
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]...",
        help="Overrides, such as training.epochs=50.",
        autocompletion=completion.overrides,
    ),
]
ImageSize = Annotated[int | None, typer.Option(min=1, help="Side of the image in pixels.")]
Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="Module to import first."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=_quiet, help="Print results and warnings only."),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", callback=_verbose, help="Print more, also of the backend."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]
ModelFile = Annotated[Path, typer.Argument(help="Model file (.keras).")]
