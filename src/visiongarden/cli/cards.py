"""Commands on published models: `verify` and `models`."""

from __future__ import annotations

from typing import Annotated

import typer

from visiongarden.cli import completion
from visiongarden.cli.app import app
from visiongarden.cli.failures import FINDINGS
from visiongarden.cli.options import AsJson, Debug, Imports, Quiet, TaskOrNone, Verbose
from visiongarden.cli.output import echo, emit
from visiongarden.cli.start import start


@app.command()
def verify(
    card: Annotated[
        str | None,
        typer.Argument(
            help="Model, architecture or card file (.yaml).", autocompletion=completion.cards
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Argument(help="Model file (.keras), or my.module:function to import.")
    ] = None,
    all: Annotated[
        bool, typer.Option("--all", help="Verify every card; print one line each.")
    ] = False,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Verify a model against its published card.

    Exit code 1: a value differs from the published one.
    """
    if all == (card is not None):
        raise typer.BadParameter("expected a model, an architecture or a card file, or --all")
    modules = [model.partition(":")[0]] if model and not model.endswith(".keras") else []
    start([*(imports or []), *modules], verbose=verbose)
    from visiongarden import cards

    found = []
    for verification in cards.verify_all(card, model):
        found.append(verification)
        if not as_json:
            echo(verification.verdict if all and verification.ok else verification)
    if as_json:
        emit(found, as_json)
    if any(not each.ok for each in found):
        raise typer.Exit(FINDINGS)


@app.command()
def models(
    task: TaskOrNone = None,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    debug: Debug = False,
) -> None:
    """List the published models with parameters, MACs and AP."""
    start()
    from visiongarden import cards

    listing = cards.models(task)
    text = listing.json() if as_json else listing.markdown() if markdown else str(listing)
    echo(text.removesuffix("\n"))
