"""Commands on published models: `verify` and `models`."""

from __future__ import annotations

from typing import Annotated

import typer

from visiongarden.cli.app import app, echo
from visiongarden.cli.options import Debug, Imports
from visiongarden.cli.start import start

DIFFERS = 1
"""Exit code of `verify` if a value differs from the card."""


@app.command()
def verify(
    source: Annotated[
        str | None, typer.Argument(help="Model, architecture or card file (.yaml).")
    ] = None,
    factory: Annotated[
        str | None, typer.Argument(help="my.module:function to import, which builds the model.")
    ] = None,
    all: Annotated[
        bool, typer.Option("--all", help="Verify every card; print one line each.")
    ] = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """Verify a model against its published card.

    Exit code 1: a value differs from the published one.
    """
    if all == (source is not None):
        raise typer.BadParameter("expected a model, an architecture or a card file, or --all")
    modules = [factory.partition(":")[0]] if factory else []
    start([*(imports or []), *modules])
    from visiongarden import cards

    all_match = True
    for verification in cards.verify_all(source, factory):
        all_match &= verification.ok
        echo(verification.verdict if all and verification.ok else str(verification))
    if not all_match:
        raise typer.Exit(DIFFERS)


@app.command()
def models(
    task: Annotated[str | None, typer.Option(help="List only models for this task.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the complete cards as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    debug: Debug = False,
) -> None:
    """List the published models with parameters, MACs and AP."""
    start()
    from visiongarden import cards

    listing = cards.models(task)
    text = listing.json() if json else listing.markdown() if markdown else str(listing)
    echo(text.removesuffix("\n"))
