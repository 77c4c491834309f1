"""`diff`: show what changed between two models or recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visiongarden import inspect
from visiongarden.inspect.difference import changes, with_fields
from visiongarden.parts import IMAGE
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolution import resolve
from visiongarden.types import FeatureSpec, ImageSize


def diff(
    before: Any,
    after: Any,
    *,
    image_size: ImageSize | int | None = None,
    inputs: FeatureSpec = IMAGE,
) -> inspect.ModelDiff:
    """Compare two models; of two recipes, also their data, augmentation and training.

    Args:
        before: A model, a part, a model file (.keras), a recipe, or a recipe file (.yaml).
        after: Another of these; a recipe can be compared with a model.
        image_size: (height, width) in pixels, or the side of a square, for the MACs. Defaults to
            each model's own.
        inputs: Channels and strides of the feature maps that decoders or heads read.

    Raises:
        UserError: A file or a recipe is not valid, or an argument is something else.

    Example:
        >>> small, large = (vg.backbones.CSPDarknet(depth=0.33, width=w) for w in (0.25, 0.5))
        >>> vg.diff(small, large, image_size=64).fields
        (FieldChange(place='backbone.width', before=0.25, after=0.5),)
    """
    recipes = [_recipe(source) for source in (before, after)]
    models = [
        source if recipe is None else recipe.build_weightless()
        for source, recipe in zip((before, after), recipes, strict=True)
    ]
    difference = inspect.diff(models[0], models[1], image_size, inputs)
    field_changes = []
    if recipes[0] is not None and recipes[1] is not None:
        field_changes = list(changes(_other_fields(recipes[0]), _other_fields(recipes[1])))
    labels = [
        str(source) if isinstance(source, str | Path) else label
        for source, label in ((before, difference.before), (after, difference.after))
    ]
    return with_fields(difference, labels[0], labels[1], field_changes)


def _recipe(source: Any) -> Recipe | None:
    if isinstance(source, str | Path) and Path(source).suffix in {".yaml", ".yml"}:
        return resolve(source)
    return source if isinstance(source, Recipe) else None


def _other_fields(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.to_dict().items() if name != "model"}
