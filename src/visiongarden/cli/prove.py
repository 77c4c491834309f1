"""Command `prove-resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app
from visiongarden.cli.failures import FINDINGS
from visiongarden.cli.options import (
    AsJson,
    Debug,
    Imports,
    InvalidBoxesOrNone,
    Overrides,
    Quiet,
    Reader,
    TaskOrNone,
    Verbose,
)
from visiongarden.cli.output import emit
from visiongarden.cli.start import start


@app.command(name="prove-resume")
def prove_resume(
    recipe: Annotated[Path, typer.Argument(help="Dataset or recipe (.yaml).")],
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps to train.")] = 30,
    kills: Annotated[int, typer.Option(min=1, help="Number of kills.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the times at which it is killed.")] = 0,
    reader: Reader = None,
    task: TaskOrNone = None,
    invalid_boxes: InvalidBoxesOrNone = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Devices of this host that share each batch.")
    ] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Show that a run that is killed continues exactly.

    Trains a recipe with kills and without, and compares both to the last bit: weights, moving
    average, optimizer, random states, history and progress. Exit code 1: they differ.
    """
    start(imports, verbose=verbose)
    from visiongarden import recipes

    proof = recipes.prove_resume(
        recipe,
        *overrides or [],
        steps=steps,
        kills=kills,
        seed=seed,
        reader=reader,
        task=task,
        invalid_boxes=invalid_boxes,
        devices=devices,
    )
    emit(proof, as_json)
    if not proof.ok:
        raise typer.Exit(FINDINGS)
