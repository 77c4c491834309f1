"""`compare`: in which fields two recipes differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visiongarden.errors import UserError
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolve import resolve

NAME = "recipe.yaml"


@dataclass(frozen=True)
class Difference:
    """One field: its dotted path, and its value on either side; None where a side has no such."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} → {_shown(self.after)}"


def compare(a: Recipe | str | Path, b: Recipe | str | Path) -> list[Difference]:
    """The fields in which two whole recipes differ, defaults included, in the recipe's order.

    Args:
        a: a recipe, its file, or the folder of a run.
        b: another one.

    Raises:
        UserError: there is no such recipe.
    """
    before, after = (_flat(_recipe(source).to_dict()) for source in (a, b))
    paths = list(before) + [path for path in after if path not in before]
    return [
        Difference(path, before.get(path), after.get(path))
        for path in paths
        if before.get(path) != after.get(path)
    ]


def _recipe(source: Recipe | str | Path) -> Recipe:
    if isinstance(source, Recipe):
        return source
    path = Path(source)
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"there is no recipe {file}", rule="a recipe (.yaml), or the folder of a run"
        )
    return resolve(file)


def _flat(fields: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{place}{name}.")
        else:
            found[f"{place}{name}"] = value
    return found


def _shown(value: Any) -> str:
    return "–" if value is None else str(value)
