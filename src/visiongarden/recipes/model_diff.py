"""`diff`: show what changed between two models or recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visiongarden import inspect
from visiongarden.inspect.difference import changes, with_fields
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolution import resolve


def diff(before: str | Path, after: str | Path, image_size: int | None = None) -> inspect.ModelDiff:
    """Compare two models; of two recipes, also their data, augmentation and training.

    Args:
        before: A model file (.keras) or a recipe (.yaml).
        after: Another model file or recipe; a recipe can be compared with a model file.
        image_size: Side of the image in pixels for the MACs. Defaults to each model's own.

    Raises:
        UserError: A file or a recipe is not valid.
    """
    recipes = [resolve(path) if _is_recipe(path) else None for path in (before, after)]
    models = [
        path if recipe is None else recipe.build_weightless()
        for path, recipe in zip((before, after), recipes, strict=True)
    ]
    difference = inspect.diff(models[0], models[1], image_size)
    field_changes = []
    if recipes[0] is not None and recipes[1] is not None:
        field_changes = list(changes(_other_fields(recipes[0]), _other_fields(recipes[1])))
    return with_fields(difference, str(before), str(after), field_changes)


def _is_recipe(path: str | Path) -> bool:
    return Path(path).suffix in {".yaml", ".yml"}


def _other_fields(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.to_dict().items() if name != "model"}
