"""`show`: figure of a model file or of a recipe's model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden import inspect
from visiongarden.config import load_yaml
from visiongarden.config.yaml import dump_scalar
from visiongarden.models import Joined
from visiongarden.parts import IMAGE
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolution import chosen_task, resolve, with_card
from visiongarden.tasks import DetectionTask
from visiongarden.training.freezing import Freezing
from visiongarden.types import FeatureSpec, ImageSize

ASSUMED_CLASSES = 80
"""Number of classes where neither the recipe nor a dataset specifies it: that of COCO."""


def show(
    model: Any, *, image_size: ImageSize | int | None = None, inputs: FeatureSpec = IMAGE
) -> inspect.Figure:
    """Return the figure of a model: its stages, sizes, parameters and MACs.

    Stages that are frozen, also by `training.freeze` of a recipe, are marked.

    A recipe can be shown without its dataset. If its head then lacks what the data would provide,
    such as `num_classes`, 80 classes are assumed, and the title of the figure states that.

    Args:
        model: A model, a part, a model file (.keras), a recipe, or a recipe file (.yaml).
        image_size: (height, width) in pixels, or the side of a square. Defaults to the model's own.
        inputs: Channels and strides of the feature maps that a decoder or head reads.

    Raises:
        UserError: The file or the recipe is not valid, or the argument is something else.

    Example:
        >>> figure = vg.show(vg.backbones.CSPDarknet(depth=0.33, width=0.25), image_size=64)
        >>> figure.count.trainable
        1272656
    """
    if isinstance(model, Recipe):
        return inspect.show(_built(model), image_size)
    if not isinstance(model, str | Path):
        return inspect.show(model, image_size, inputs)
    path = Path(model)
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        return inspect.show(path, image_size)
    fields = load_yaml(path)
    if not fields.keys() & Recipe.model_fields.keys() or _has_data(fields):
        return inspect.show(_built(resolve(path)), image_size)
    fields = with_card(fields)
    section = fields.get("model")
    head = section.get("head") if isinstance(section, dict) else None
    if "task" not in fields and head is None:
        fields["task"] = DetectionTask.name
    data = fields.get("data")
    fields["data"] = {"path": "data"} | (dict(data) if isinstance(data, dict) else {})
    task = chosen_task(fields)
    given = head if isinstance(head, dict) else {}
    words, assumed = task.assumption(ASSUMED_CLASSES)
    missing = {name: value for name, value in assumed.items() if name not in given}
    overrides = [f"model.head.{name}={dump_scalar(value)}" for name, value in missing.items()]
    figure = inspect.show(_built(resolve(fields, overrides=overrides)), image_size)
    if not missing:
        return figure
    return replace(figure, title=f"{figure.title}, {words} assumed (no dataset)")


def _built(recipe: Recipe) -> Joined:
    """Return the model of a recipe as its run begins: with frozen layers."""
    model = recipe.build_weightless()
    Freezing(model, recipe.training.freeze).freeze(model)
    return model


def _has_data(fields: dict[str, Any]) -> bool:
    data = fields.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    return path is not None and Path(str(path)).exists()
