"""Commands on weights and pairs of models: `transfer` and `diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app, echo
from visiongarden.cli.options import Debug, Imports
from visiongarden.cli.start import start

Rename = Annotated[
    list[str] | None,
    typer.Option(metavar="OLD=NEW", help="Rename path prefixes; * is one step, ** several."),
]


@app.command()
def transfer(
    source: Annotated[
        Path, typer.Argument(help="Weights: .keras, .weights.h5, .safetensors, .pt or .pth.")
    ],
    target: Annotated[Path, typer.Argument(help="Model (.keras) that receives the weights.")],
    output: Annotated[Path, typer.Option(help="Model file (.keras) to write.")],
    rename: Rename = None,
    min_coverage: Annotated[
        float, typer.Option(min=0, max=1, help="Minimum share of backbone and decoder to copy.")
    ] = 0.9,
    layout: Annotated[
        str, typer.Option(help="Names and axes of the source: keras, torch or auto.")
    ] = "auto",
    class_rows: Annotated[
        str, typer.Option(help="Match rows of class outputs by name or position.")
    ] = "name",
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Copy weights into a model by path.

    Weights are never matched by position. Prints what was copied, renamed and skipped.
    """
    start(imports)
    from visiongarden import weights

    rules = weights.rules(rename or [])
    report = weights.transfer_file(source, target, output, rules, min_coverage, layout, class_rows)
    echo(str(report))
    echo(f"saved {output}")


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="Model (.keras) or recipe (.yaml).")],
    after: Annotated[Path, typer.Argument(help="Model or recipe to compare with.")],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the image in pixels.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Compare two models: parts, layers, size and weights."""
    start(imports)
    import json

    from visiongarden import recipes

    difference = recipes.diff(before, after, image_size)
    echo(json.dumps(difference.to_dict(), indent=1) if as_json else str(difference))
