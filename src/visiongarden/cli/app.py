"""Root of the command line, to which each module of commands adds its own."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from visiongarden.cli.output import echo

PANELS = {
    "Build": (
        "new", "list", "check", "lint", "models", "verify", "show", "diff", "repeats",
    ),
    "Data": ("data",),
    "Train and evaluate": (
        "demo", "recipe", "transfer", "train", "prove-resume",
        "evaluate", "predict",
    ),
    "Deploy": ("export", "import-darknet", "export-darknet"),
}  # fmt: skip
"""Commands by panel of the help, in the order in which a user meets them."""

EXIT_CODES = (
    ("0", "success"),
    ("1", "completed, with findings, a difference or skipped inputs"),
    ("2", "nothing was done, because of the arguments or the input"),
    ("70", "internal error"),
    ("130", "interrupted with Ctrl-C"),
    ("143", "training stopped by SIGTERM or SIGUSR1; it can be resumed"),
)

_COMPLETION = {
    "install_completion": "Install completion for the current shell.",
    "show_completion": "Print the completion script of the current shell.",
}
_LONG = 200


class Group(TyperGroup):
    """Group of commands that lists them with complete help texts."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of `PANELS`, the others as they were added."""
        order = [name for names in PANELS.values() for name in names]
        return sorted(self.commands, key=lambda n: order.index(n) if n in order else len(order))

    def rows(self, names: tuple[str, ...] | list[str]) -> list[tuple[str, str]]:
        """Return name and help of commands; those of a group are listed one by one."""
        rows = []
        for name in names:
            command = self.commands[name]
            if isinstance(command, Group):
                inner = command.rows(list(command.commands))
                rows += [(f"{name} {inner_name}", text) for inner_name, text in inner]
            else:
                # Typer would cut a text that does not fit into the line.
                rows.append((name, command.get_short_help_str(_LONG)))
        return rows

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(self.rows(self.list_commands(ctx)))


class Root(Group):
    """Group that lists its commands in panels, and the exit codes below them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, those of Typer with help texts of one line."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            # Positional arguments have no help in some versions of Typer.
            param.help = _COMPLETION.get(param.name, getattr(param, "help", None))
        return params

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each panel."""
        width = max(len(name) for name, _ in self.rows(list(self.commands)))
        for panel, names in PANELS.items():
            rows = self.rows(names)
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl(EXIT_CODES)


app = typer.Typer(
    cls=Root,
    help="Build, check, train and deploy custom vision models.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def group(name: str, help: str) -> typer.Typer:
    """Add a group of commands to the root and return it."""
    added = typer.Typer(cls=Group, help=help, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(added, name=name)
    return added


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        echo(f"visiongarden {version('visiongarden')}")
        raise typer.Exit


@app.callback()
def _common(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None: ...
