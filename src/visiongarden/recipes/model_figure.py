"""`show`: figure of a model file or of a recipe's model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden import inspect
from visiongarden.config import load_yaml
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolution import resolve

ASSUMED_CLASSES = 80
"""Number of classes where neither the recipe nor a dataset specifies it: that of COCO."""


def show(source: str | Path, image_size: int | None = None) -> inspect.Figure:
    """Return the figure of a model: its stages, sizes, parameters and MACs.

    A recipe can be shown without its dataset. If its head then has no `num_classes`, 80 classes are
    assumed, and the title of the figure states that.

    Args:
        source: A model file (.keras) or a recipe (.yaml).
        image_size: Side of the image in pixels. Defaults to the model's own.

    Raises:
        UserError: The file or the recipe is not valid.
    """
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        return inspect.show(source, image_size)
    fields = load_yaml(path)
    if not fields.keys() & Recipe.model_fields.keys() or _has_data(fields):
        return inspect.show(resolve(source).build_weightless(), image_size)
    model = fields.get("model")
    model = model if isinstance(model, dict) else {}
    head = model.get("head")
    if isinstance(head, str):
        head = {"type": head}
    has_num_classes = isinstance(head, dict) and "num_classes" in head
    if "task" not in fields and head is None and "card" not in model:
        fields["task"] = "detection"
    data = fields.get("data")
    fields["data"] = {"path": "data"} | (dict(data) if isinstance(data, dict) else {})
    overrides = [] if has_num_classes else [f"model.head.num_classes={ASSUMED_CLASSES}"]
    figure = inspect.show(resolve(fields, overrides=overrides).build_weightless(), image_size)
    if has_num_classes:
        return figure
    return replace(figure, title=f"{figure.title}, {ASSUMED_CLASSES} classes assumed (no dataset)")


def _has_data(fields: dict[str, Any]) -> bool:
    data = fields.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    return path is not None and Path(str(path)).exists()
