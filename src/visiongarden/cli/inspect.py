"""Commands that inspect a model: `show` and `repeats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app, echo
from visiongarden.cli.options import Debug, Imports
from visiongarden.cli.start import start

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def show(
    source: Annotated[Path, typer.Argument(help="Model (.keras) or recipe (.yaml).")],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the image in pixels.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Save a diagram as an HTML page.")] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Show the stages, sizes, parameters and MACs of a model."""
    start(imports)
    from visiongarden import recipes

    figure = recipes.show(source, image_size)
    if html is not None:
        echo(f"saved {figure.save(html)}", err=as_json)
    if as_json:
        echo(json.dumps(figure.to_dict()))
    elif html is None:
        echo(str(figure))


@app.command()
def repeats(
    source: Annotated[Path, typer.Argument(help="Darknet .cfg, .onnx or model (.keras) file.")],
    write: Annotated[
        Path | None, typer.Option(help="Write the repeated structures as blocks, with a test.")
    ] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Find the repeated structures of a model.

    These are candidates for a block.
    """
    start(imports)
    from visiongarden import repetition

    result = repetition.repeats(source)
    echo(json.dumps(result.to_dict()) if as_json else str(result))
    if write is not None:
        module, test, refused = repetition.write(result, write)
        for name, reason in refused.items():
            echo(f"not written: {name} ({reason})", err=True)
        echo(f"written {module}; next: python -m pytest {test}", err=as_json)
