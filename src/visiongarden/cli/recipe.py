"""Commands on recipes: `recipe show`, `recipe schema` and `recipe diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import group
from visiongarden.cli.failures import FINDINGS
from visiongarden.cli.options import (
    AsJson,
    Debug,
    Imports,
    InvalidBoxesOrNone,
    Overrides,
    Reader,
    TaskOrNone,
)
from visiongarden.cli.output import echo, emit
from visiongarden.cli.start import start

recipe = group("recipe", "Show, describe and compare recipes.")


@recipe.command("show")
def show(
    source: Annotated[str, typer.Argument(metavar="RECIPE", help="Recipe (.yaml) or dataset.")],
    overrides: Overrides = None,
    reader: Reader = None,
    invalid_boxes: InvalidBoxesOrNone = None,
    task: TaskOrNone = None,
    as_json: AsJson = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Print the complete recipe that `train` would run.

    It contains every default.
    """
    start(imports)
    from visiongarden import recipes
    from visiongarden.config import dump_yaml

    complete = recipes.resolve(source, reader, invalid_boxes, overrides or [], task)
    emit(complete, as_json, dump_yaml(complete).removesuffix("\n"))


@recipe.command("schema")
def schema(imports: Imports = None, debug: Debug = False) -> None:
    """Print the JSON schema of a recipe, for editors.

    Save it with: visiongarden recipe schema > recipe.schema.json
    """
    start(imports)
    from visiongarden import recipes

    emit(recipes.schema(), True)


@recipe.command("diff")
def diff(
    before: Annotated[Path, typer.Argument(help="Recipe (.yaml) or folder of a run.")],
    after: Annotated[Path, typer.Argument(help="Recipe or run to compare with.")],
    as_json: AsJson = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Print the fields in which two recipes differ.

    Prints nothing if the recipes are equal. Exit code 1: they differ.
    """
    start(imports)
    from visiongarden import recipes

    differences = recipes.compare(before, after)
    if as_json:
        emit(differences, as_json)
    for difference in [] if as_json else differences:
        echo(difference)
    if differences:
        raise typer.Exit(FINDINGS)
