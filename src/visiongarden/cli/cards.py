"""Commands on published models: `verify` and `models`."""

from __future__ import annotations

from typing import Annotated

import typer

from visiongarden.cli.app import app, echo
from visiongarden.cli.options import Debug, Imports
from visiongarden.cli.start import start

DIVERGES = 1
"""Exit code of `verify` if a value differs from the card."""


@app.command()
def verify(
    source: Annotated[
        str | None, typer.Argument(help="A model, an architecture, or a card file (.yaml).")
    ] = None,
    factory: Annotated[
        str | None, typer.Argument(help="my.module:function that makes the model; is imported.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Every card, one line each.")] = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Verify a model against its published card.

    Exit code 1: a value differs from the published one.
    """
    if all == (source is not None):
        raise typer.BadParameter("give a name or a card file, or --all")
    named = [factory.partition(":")[0]] if factory else []
    start([*(imports or []), *named])
    from visiongarden import cards

    diverges = False
    for found in cards.verify_all(source, factory):
        diverges |= not found.ok
        echo(found.verdict if all and found.ok else str(found))
    if diverges:
        raise typer.Exit(DIVERGES)


@app.command()
def models(
    task: Annotated[str | None, typer.Option(help="Only models for this task.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Every card whole, as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
    debug: Debug = False,
) -> None:
    """List the published models with parameters, MACs and AP."""
    start()
    from visiongarden import cards

    listing = cards.models(task)
    text = listing.json() if json else listing.markdown() if markdown else str(listing)
    echo(text.removesuffix("\n"))
