"""Commands on weights and pairs of models: `transfer` and `diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli import completion
from visiongarden.cli.app import app
from visiongarden.cli.failures import FINDINGS
from visiongarden.cli.options import AsJson, Debug, ImageSize, Imports, Quiet, Verbose
from visiongarden.cli.output import emit
from visiongarden.cli.start import start

Rename = Annotated[
    list[str] | None,
    typer.Option(metavar="OLD=NEW", help="Rename path prefixes; * and ** match path components."),
]


@app.command()
def transfer(
    source: Annotated[
        Path, typer.Argument(help="Weights: .keras, .h5, .safetensors, .npz, .onnx, .pt, .pth.")
    ],
    model: Annotated[Path, typer.Argument(help="Model (.keras) that receives the weights.")],
    output: Annotated[Path, typer.Option(help="Model file (.keras) to write.")],
    rules: Annotated[
        str,
        typer.Option(
            help="Rules of a checkpoint: auto, none, a name, or a file.",
            autocompletion=completion.rules,
        ),
    ] = "auto",
    rename: Rename = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Copy only these paths, such as backbone or **/stem."),
    ] = None,
    min_coverage: Annotated[
        float, typer.Option(min=0, max=1, help="Minimum share of backbone and decoder to copy.")
    ] = 0.9,
    layout: Annotated[
        str,
        typer.Option(
            help="Names and axes of the source: keras, torch or auto.",
            autocompletion=completion.layouts,
        ),
    ] = "auto",
    class_rows: Annotated[
        str,
        typer.Option(
            help="Match rows of class outputs by name or position.",
            autocompletion=completion.class_rows,
        ),
    ] = "name",
    state_dict: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="State dict of a checkpoint with several."),
    ] = None,
    prove: Annotated[
        Path | None,
        typer.Option(help="Image or folder on which source and model are compared."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest difference of --prove, in deviations.")
    ] = 1e-4,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Copy weights into a model by path.

    Weights are never matched by position. Prints what was copied, renamed and skipped. Exit code 1:
    --prove found a difference.
    """
    start(imports, verbose=verbose)
    from visiongarden import weights

    report = weights.transfer(
        source,
        model,
        output=output,
        rules=None if rules == "none" else rules,
        rename=weights.parse_renames(rename or []),
        only=only,
        min_coverage=min_coverage,
        layout=layout,
        class_rows=class_rows,
        state_dict=state_dict,
        prove=prove,
        tolerance=tolerance,
    )
    emit(report, as_json, f"{report}\nsaved {output}")
    if report.proof is not None and not report.proof.passed:
        raise typer.Exit(FINDINGS)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="Model (.keras) or recipe (.yaml).")],
    after: Annotated[Path, typer.Argument(help="Model or recipe to compare with.")],
    image_size: ImageSize = None,
    as_json: AsJson = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Compare two models: parts, layers, size and weights.

    Exit code 1: they differ.
    """
    start(imports)
    from visiongarden import recipes

    difference = recipes.diff(before, after, image_size=image_size)
    emit(difference, as_json)
    if not difference.same:
        raise typer.Exit(FINDINGS)
