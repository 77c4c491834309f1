"""`compare`: list the fields in which two recipes differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visiongarden.errors import UserError
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolution import resolve
from visiongarden.recipes.run_folder import RECIPE
from visiongarden.storage import similar


@dataclass(frozen=True)
class Difference:
    """One field that differs between two recipes.

    Attributes:
        path: Dotted path of the field.
        before: Value in the first recipe; None if it has no such field.
        after: Value in the second recipe; None if it has no such field.
    """

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {_format(self.before)} → {_format(self.after)}"


def compare(a: Recipe | str | Path, b: Recipe | str | Path) -> list[Difference]:
    """List the fields in which two complete recipes differ, in the order of the recipe.

    Fields that only one recipe states are compared with the default of the other.

    Args:
        a: A recipe, a recipe file, or the folder of a run.
        b: The recipe to compare with.

    Raises:
        UserError: A recipe does not exist.
    """
    before, after = (_flatten(_load(source).to_dict()) for source in (a, b))
    paths = list(before) + [path for path in after if path not in before]
    return [
        Difference(path, before.get(path), after.get(path))
        for path in paths
        if before.get(path) != after.get(path)
    ]


def _load(source: Recipe | str | Path) -> Recipe:
    if isinstance(source, Recipe):
        return source
    path = Path(source)
    file = path / RECIPE if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"recipe {file} does not exist",
            rule="a recipe (.yaml) or the folder of a run",
            fix=similar(file),
        )
    return resolve(file)


def _flatten(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _format(value: Any) -> str:
    return "–" if value is None else str(value)
