"""Command that creates layers, blocks, parts and projects: `new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visiongarden.cli.app import app, echo
from visiongarden.cli.options import Debug


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="layer, block, backbone, decoder, head or project.")],
    name: Annotated[str, typer.Argument(help="Name, such as GatedUnit or gated_unit.")],
    into: Annotated[Path, typer.Option(help="Folder of the new files.")] = Path(),
    debug: Debug = False,
) -> None:
    """Write code, test and recipe of a new layer or part.

    Existing files are never overwritten.
    """
    from visiongarden import scaffold

    created = scaffold.new(kind, name, into)
    for path in created.files:
        echo(f"wrote {path}")
    for command in created.commands:
        echo(f"next: {command}")
