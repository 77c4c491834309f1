"""Text of the public surface: names, signatures, options of commands, and the recipe's schema.

`python -m tests.public_surface --write` writes `tests/public_surface.txt`, which a test compares
with the code, so that every change is deliberate. Without `--write` the text is printed.
"""

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

import visiongarden as vg
from visiongarden import recipes
from visiongarden.cli.app import app

FILE = Path(__file__).with_suffix(".txt")
_VERBS_OF_DATA = ("check", "convert", "show")


def surface() -> str:
    """Return the text."""
    sections = {
        "Names of visiongarden": vg.__all__,
        "Signatures": signatures(),
        "Commands": commands(),
        "Schema of a recipe": fields(),
    }
    return "".join(f"# {title}\n" + "".join(f"{x}\n" for x in v) for title, v in sections.items())


def signatures() -> Iterator[str]:
    """Yield a line for each function and class."""
    for name in vg.__all__:
        value = getattr(vg, name)
        if callable(value):
            yield f"{name}{_signature(value)}"
            yield from _methods(name, value)
    for name in _VERBS_OF_DATA:
        yield f"data.{name}{_signature(getattr(vg.data, name))}"


def _methods(name: str, value: object) -> Iterator[str]:
    """Yield the public methods that visiongarden's classes define themselves."""
    if not inspect.isclass(value):
        return
    for method in sorted(vars(value).keys() | vars(value.__bases__[0]).keys()):
        found = inspect.getattr_static(value, method, None)
        function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        module = getattr(function, "__module__", "") or ""
        if not method.startswith("_") and inspect.isfunction(function) and "visiongarden" in module:
            yield f"{name}.{method}{_signature(function)}"


def _signature(value: object) -> str:
    try:
        return str(inspect.signature(value))
    except ValueError:
        return "(...)"


def fields() -> Iterator[str]:
    """Yield a line for each field of a recipe and of the values in it."""
    schema = recipes.schema()
    for name, entry in {"Recipe": schema, **dict(sorted(schema["$defs"].items()))}.items():
        required = entry.get("required", [])
        for field, value in entry.get("properties", {}).items():
            facts = {k: v for k, v in value.items() if k not in ("title", "description")}
            mark = " (required)" if field in required else ""
            yield f"{name}.{field}{mark}: {json.dumps(facts, sort_keys=True)}"


def commands() -> Iterator[str]:
    """Yield a line for each command, with arguments, options and their defaults."""
    for name, command in _commands(typer.main.get_command(app), ""):
        words = [
            param.name.upper() if param.param_type_name == "argument" else "/".join(param.opts)
            for param in command.params
            if param.name != "help"
        ]
        defaults = [
            f"{word}={param.default!s}"
            for word, param in zip(words, command.params, strict=False)
            if param.default not in (None, False) and not callable(param.default)
        ]
        yield f"{name}: {' '.join(words)}"
        yield f"  defaults: {', '.join(defaults)}"


def _commands(group: object, prefix: str) -> Iterator[tuple[str, object]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


if __name__ == "__main__":
    if "--write" in sys.argv:
        FILE.write_text(surface(), encoding="utf-8")
    else:
        sys.stdout.write(surface())
