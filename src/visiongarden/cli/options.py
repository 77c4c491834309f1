"""Options shared by several commands."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from visiongarden.cli import completion
from visiongarden.cli.output import set_level


def reader_in(text: str) -> Any:
    """Return the name of a reader, or its `{type: Name, field: ...}`, given on the command line."""
    if not text.startswith("{"):
        return text
    from visiongarden.config.yaml import load_scalar  # pydantic would slow down --help

    return load_scalar(text, "--reader")


def channels_in(text: str) -> Any:
    """Return the value of `--channels`: a word, or a list of parts of file names."""
    return text.split(",") if "," in text else text


def _quiet(ctx: typer.Context, value: bool) -> None:
    if value:
        set_level(ctx, "--quiet", logging.WARNING)


def _verbose(ctx: typer.Context, value: bool) -> None:
    if value:
        set_level(ctx, "--verbose", logging.DEBUG)


_READER = typer.Option(
    help="Reader of the dataset, or auto; see `list reader`.",
    autocompletion=completion.readers,
    parser=reader_in,
    metavar="NAME",
)
_INVALID = typer.Option(
    help="Boxes outside the image or without area: error, drop.",
    autocompletion=completion.invalid_boxes,
)
Reader = Annotated[Any, _READER]
Channels = Annotated[
    Any,
    typer.Option(
        help="auto, rgb, gray, rgba, stored, or parts: _w1_,_w2_.",
        parser=channels_in,
        metavar="TEXT",
    ),
]
InvalidBoxes = Annotated[str, _INVALID]
PrecisionOrNone = Annotated[
    str | None,
    typer.Option(
        help="float32 (default), mixed_bfloat16 or mixed_float16.",
        autocompletion=completion.precisions,
    ),
]
InvalidBoxesOrNone = Annotated[str | None, _INVALID]
TaskOrNone = Annotated[
    str | None,
    typer.Option(help="Name of the task; see `list task`.", autocompletion=completion.tasks),
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
