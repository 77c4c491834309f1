"""Commands on recipes: `config schema`, `config show` and `recipe diff`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app, echo
from visiongarden.cli.options import Debug, FormatOrNone, Imports, InvalidBoxesOrNone, TaskOrNone
from visiongarden.cli.start import start

config = typer.Typer(
    help="Print the schema of recipes, or a complete recipe.", no_args_is_help=True
)
recipe = typer.Typer(help="Compare recipes.", no_args_is_help=True)
app.add_typer(config, name="config")
app.add_typer(recipe, name="recipe")


@config.command("schema")
def schema(imports: Imports = None, debug: Debug = False) -> None:
    """Print the JSON schema of a recipe, for editors.

    Save it with: visiongarden config schema > recipe.schema.json
    """
    start(imports)
    from visiongarden import recipes

    echo(json.dumps(recipes.schema(), indent=1))


@config.command("show")
def show(
    source: Annotated[str, typer.Argument(help="Recipe (.yaml) or dataset.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Overrides, such as training.epochs=50.")
    ] = None,
    format: FormatOrNone = None,
    invalid_boxes: InvalidBoxesOrNone = None,
    task: TaskOrNone = None,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Print a complete recipe, with every default.

    This is the recipe that `train` would run.
    """
    start(imports)
    from visiongarden import recipes
    from visiongarden.config import dump_yaml

    complete = recipes.resolve(source, format, invalid_boxes, overrides or [], task)
    typer.echo(dump_yaml(complete), nl=False)


@recipe.command("diff")
def diff(
    a: Annotated[Path, typer.Argument(help="Recipe (.yaml) or folder of a run.")],
    b: Annotated[Path, typer.Argument(help="Recipe or run to compare with.")],
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Print the fields in which two recipes differ.

    Prints nothing if the recipes are equal.
    """
    start(imports)
    from visiongarden import recipes

    for difference in recipes.compare(a, b):
        echo(str(difference))
