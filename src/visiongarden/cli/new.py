"""Commands that create layers, blocks, parts and projects, and list the existing ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli import completion
from visiongarden.cli.app import app
from visiongarden.cli.options import AsJson, Debug, Imports
from visiongarden.cli.output import echo, emit
from visiongarden.cli.start import start
from visiongarden.errors import UserError, nearest
from visiongarden.terminal import table


@app.command()
def new(
    kind: Annotated[
        str,
        typer.Argument(
            help="layer, block, backbone, decoder, head or project.",
            autocompletion=completion.kinds,
        ),
    ],
    name: Annotated[str, typer.Argument(help="Name, such as GatedUnit or gated_unit.")],
    output: Annotated[Path, typer.Option(help="Folder of the new files.")] = Path(),
    debug: Debug = False,
) -> None:
    """Write the code and a test of a new layer or part.

    Existing files are never overwritten.
    """
    from visiongarden import scaffold

    created = scaffold.new(kind, name, output)
    for path in created.files:
        echo(f"wrote {path}")
    for command in created.commands:
        echo(f"next: {command}")


@app.command("list")
def list_kind(
    kind: Annotated[
        str,
        typer.Argument(
            help="layer, backbone, head, task, optimizer and others.",
            autocompletion=completion.listed_kinds,
        ),
    ],
    as_json: AsJson = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """List the classes of each kind, such as parts and tasks.

    With --import, also those of your module.
    """
    if kind not in completion.LISTED:
        raise UserError(f"there is no list of {kind!r}", fix=nearest(kind, completion.LISTED))
    start(imports)
    from visiongarden.scaffold.listing import available

    found = available(kind)
    emit(found, as_json, table(("name", "description"), found.items()))
