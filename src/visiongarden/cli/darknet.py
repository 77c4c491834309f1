"""Commands that read and write Darknet files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app
from visiongarden.cli.options import Debug, ImageSize, Imports, ModelFile, Quiet, Verbose
from visiongarden.cli.output import echo
from visiongarden.cli.start import start


@app.command("import-darknet")
def import_darknet(
    cfg: Annotated[Path, typer.Argument(help="Darknet .cfg file.")],
    weights: Annotated[Path | None, typer.Argument(help="Darknet .weights file.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Model file (.keras). Defaults to the cfg's name.")
    ] = None,
    names: Annotated[Path | None, typer.Option(help="File of class names, one per line.")] = None,
    as_parts: Annotated[
        bool, typer.Option("--as-parts", help="Build a detector from parts, for training.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Convert a Darknet network to a model file."""
    start(verbose=verbose)
    from visiongarden import darknet

    echo(darknet.import_files(cfg, weights, output, names, as_parts))


@app.command("export-darknet")
def export_darknet(
    model: ModelFile,
    cfg: Annotated[Path, typer.Argument(help="Darknet .cfg file to write.")],
    weights: Annotated[Path, typer.Argument(help="Darknet .weights file to write.")],
    image_size: ImageSize = None,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Write a model as Darknet cfg and weights files."""
    start(imports, verbose=verbose)
    from visiongarden import darknet
    from visiongarden.models import load

    size = None if image_size is None else (image_size, image_size)
    darknet.export_darknet(load(model), cfg, weights, size)
    echo(f"{cfg}\n{weights}")
