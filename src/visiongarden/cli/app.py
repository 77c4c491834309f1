"""Root of the command line, to which each module of commands adds its own."""

from __future__ import annotations

from typing import Annotated

import typer

from visiongarden.terminal import printable

app = typer.Typer(
    help="Build, check, train and deploy custom vision models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def echo(text: object, err: bool = False) -> None:
    """Print text that may contain names from files, with control characters escaped."""
    typer.echo(printable(text), err=err)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        echo(f"visiongarden {version('visiongarden')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...
