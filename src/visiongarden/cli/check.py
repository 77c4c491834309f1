"""Commands that check custom components: `check` and `lint`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from visiongarden.cli import completion
from visiongarden.cli.app import app
from visiongarden.cli.failures import FINDINGS
from visiongarden.cli.options import AsJson, Debug, Imports, Quiet, Verbose
from visiongarden.cli.output import emit
from visiongarden.cli.start import start
from visiongarden.errors import UserError
from visiongarden.progress import LOGGER


@app.command()
def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE[:NAME]", help="Module to import and check, or one class in it."
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Constructor arguments, such as filters=8."),
    ] = None,
    inputs: Annotated[
        str | None, typer.Option(help="Input shape with the batch, such as [2, 16, 24, 8].")
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            help="Reopen on: tensorflow, jax, torch, all or none.",
            autocompletion=completion.backends,
        ),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Skip this check.")] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Check custom components of any kind.

    Of layers and parts: config, saved files, gradients, shapes and backends; of others: what their
    kind must keep, see docs/check.md. Exit code 1: a check failed.
    """
    requested = [name for text in backends or [] for name in text.split(",")]
    current = os.environ.get("KERAS_BACKEND", "tensorflow")
    reopened = ", ".join(requested) or f"{current} (--backends all for the others)"
    # Logged before the backend is imported, which takes seconds.
    LOGGER.info(f"checking {target} on {current}, and reopening it on {reopened}")
    from visiongarden.config import apply_overrides
    from visiongarden.config.yaml import load_scalar

    config = apply_overrides({}, arguments or [], example="filters=8")
    shapes = None if inputs is None else load_scalar(inputs, "--inputs")
    if shapes is not None and not isinstance(shapes, list | dict):
        raise UserError(
            "--inputs is not a shape",
            rule="the shape of the input with the batch, or shapes by level",
            received=inputs,
            fix="--inputs '[2, 16, 24, 8]'",
        )
    start(imports, verbose=verbose)
    from visiongarden import testing

    reports = testing.check_module(
        target,
        backends=_backends(requested),
        skip=skip or [],
        inputs=shapes,
        config=config,
    )
    texts = [r.table() if not r.ok or len(reports) == 1 else str(r) for r in reports]
    emit(reports, as_json, "\n".join(texts))
    if not all(report.ok for report in reports):
        raise typer.Exit(FINDINGS)


def _backends(requested: list[str]) -> Any:
    if not requested:
        return None
    return "all" if "all" in requested else [name for name in requested if name != "none"]


@app.command()
def lint(
    path: Annotated[list[Path], typer.Argument(help="Python files or folders.")],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Find errors in the source of layers and parts.

    Prints each with its file and line; no code is run. Exit code 1: there are errors; warnings do
    not count.
    """
    from visiongarden import linting

    report = linting.lint(path)
    emit(report, as_json)
    if not report.ok:
        raise typer.Exit(FINDINGS)
