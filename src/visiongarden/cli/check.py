"""`check` and `lint`: are layers and parts of one's own sound?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from visiongarden import terminal
from visiongarden.cli.app import app, echo
from visiongarden.cli.options import Debug
from visiongarden.cli.start import start


@app.command()
def check(
    target: Annotated[
        str, typer.Argument(metavar="MODULE[:NAME]", help="A module of yours; it is imported.")
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Reopen on this backend; by default on all installed, none: on none."),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave this check out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Check layers, blocks and parts of your own: config, files, gradients, shapes, backends."""
    start()

    from visiongarden import testing

    backends = "all" if not backend else [name for name in backend if name != "none"]
    reports = testing.check_module(target, backends=backends, skip=skip or [])
    if as_json:
        echo(json.dumps([report.to_dict() for report in reports], indent=1))
    else:
        console = terminal.console(markup=False, emoji=False, highlight=False)
        for report in reports:
            console.print(report.table() if not report.ok or len(reports) == 1 else str(report))
    if not all(report.ok for report in reports):
        raise typer.Exit(1)


@app.command()
def lint(
    files: Annotated[list[Path], typer.Argument(help="Python files, or folders of them.")],
    debug: Debug = False,
) -> None:
    """Find faults in the source of layers and parts, with their lines; nothing is run."""
    from visiongarden import testing

    faults = [fault for file in files for fault in testing.lint(file)]
    for fault in faults:
        echo(str(fault))
    if not all(fault.is_warning for fault in faults):
        raise typer.Exit(1)
