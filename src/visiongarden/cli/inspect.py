"""Commands that inspect a model: `show` and `repeats`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app
from visiongarden.cli.failures import SKIPPED
from visiongarden.cli.options import AsJson, Debug, ImageSize, Imports, Quiet, Verbose
from visiongarden.cli.output import echo, emit
from visiongarden.cli.start import start
from visiongarden.progress import LOGGER


@app.command()
def show(
    model: Annotated[Path, typer.Argument(help="Model (.keras) or recipe (.yaml).")],
    image_size: ImageSize = None,
    output: Annotated[Path | None, typer.Option(help="Diagram to save (.html or .svg).")] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Show the stages, sizes, parameters and MACs of a model."""
    start(imports)
    from visiongarden import recipes

    figure = recipes.show(model, image_size=image_size)
    if output is not None:
        saved = figure.save(output)
        echo(f"saved {saved}", err=as_json)
    if as_json or output is None:
        emit(figure, as_json)


@app.command()
def repeats(
    source: Annotated[Path, typer.Argument(help="Darknet .cfg, .onnx or model (.keras) file.")],
    output: Annotated[
        Path | None, typer.Option(help="Python file of blocks to write, with a test.")
    ] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Find the repeated structures of a model.

    These are candidates for a block. Exit code 1: with --output, a structure could not be written.
    """
    start(imports, verbose=verbose)
    from visiongarden import repetition

    result = repetition.repeats(source)
    emit(result, as_json)
    if output is not None:
        module, test, refused = repetition.write(result, output)
        for name, reason in refused.items():
            LOGGER.warning(f"not written: {name} ({reason})")
        echo(f"written {module}; next: python -m pytest {test}", err=as_json)
        if refused:
            raise typer.Exit(SKIPPED)
