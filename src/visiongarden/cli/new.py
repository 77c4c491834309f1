"""Commands that create components and projects, and list the existing ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from visiongarden import plugins
from visiongarden.cli import completion
from visiongarden.cli.app import app
from visiongarden.cli.options import AsJson, Debug, Imports
from visiongarden.cli.output import echo, emit
from visiongarden.cli.start import start
from visiongarden.kinds import KINDS, kind_named
from visiongarden.terminal import table


@app.command()
def new(
    kind: Annotated[
        str,
        typer.Argument(
            help="Kind, such as layer, loss or reader; rules; or project.",
            autocompletion=completion.kinds,
        ),
    ],
    name: Annotated[str, typer.Argument(help="Name, such as GatedUnit or gated_unit.")],
    output: Annotated[Path, typer.Option(help="Folder of the new files.")] = Path(),
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Task of a head: detection, instance_segmentation.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write the code and a test of a new component.

    Existing files are never overwritten.
    """
    from visiongarden import scaffold

    created = scaffold.new(kind, name, output, task=task)
    for path in created.files:
        echo(f"wrote {path}")
    for command in created.commands:
        echo(f"next: {command}")


@app.command("list")
def list_kind(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Kind, such as backbone; none: all kinds and plugins.",
            autocompletion=completion.listed_kinds,
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="Component whose fields are listed.")] = None,
    as_json: AsJson = False,
    imports: Imports = None,
    debug: Debug = False,
) -> None:
    """List kinds of components, components, and their fields.

    Installed packages with components are listed without importing them; with --import, also the
    components of your module.
    """
    if kind is None:
        _list_kinds(as_json)
        return
    kind_named(kind)
    start(imports)
    from visiongarden.scaffold.listing import available, describe

    if name is not None:
        described = describe(kind, name)
        emit(described, as_json, _description(described))
        return
    found = available(kind)
    # Only the classes of a loss have several base classes, of different fields.
    bases = [(each.base,) if len(KINDS[kind].bases) > 1 else () for each in found]
    rows = [
        (each.name, *base, each.package, each.description)
        for each, base in zip(found, bases, strict=True)
    ]
    columns = ("name", *(("base class",) if any(bases) else ()), "package", "description")
    emit(found, as_json, table(columns, rows))


def _list_kinds(as_json: bool) -> None:
    """Print the kinds, and the components of installed packages, by their metadata alone."""
    installed, invalid = plugins.installed(), plugins.invalid()
    found = {"kinds": list(KINDS.values()), "plugins": installed, "invalid": invalid}
    texts = [
        table(
            ("kind", "base class", "purpose"),
            [(kind.name, kind.base_names[0], kind.summary) for kind in KINDS.values()],
        )
    ]
    if installed:
        rows = [(each.kind, each.name, each.package, each.path) for each in installed]
        texts.append(table(("kind", "plugin", "package", "class, imported when named"), rows))
    if invalid:
        wrong = [(each.package, each.text, each.reason) for each in invalid]
        texts.append(table(("package", "invalid entry point", "reason"), wrong))
    emit(found, as_json, "\n\n".join(texts))


def _description(described: Any) -> str:
    entry = described.entry
    rows = [
        (
            each.name,
            each.type,
            "required" if each.default is None else each.default,
            each.description,
        )
        for each in described.fields
    ]
    # The paths of Keras's classes are private.
    path = "" if entry.package == "keras" else f", {entry.path}"
    head = f"{entry.kind} {entry.name} of {entry.package}{path}\n{entry.description}"
    fields = table(("field", "type", "default", "description"), rows) if rows else "no fields"
    return f"{head}\n\n{fields}"
