"""`show` for model files and recipes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from visiongarden import inspect
from visiongarden.config import load_yaml
from visiongarden.recipes.recipe import Recipe
from visiongarden.recipes.resolve import resolve

ASSUMED_CLASSES = 80
"""COCO's, where neither the recipe nor a data set says how many there are."""


def show(source: str | Path, image_size: int | None = None) -> inspect.Figure:
    """The figure of a model.

    A recipe is shown without its data set too: where its head has no `num_classes` then, 80 are
    assumed, which the title says.

    Args:
        source: a model file (.keras), or a recipe (.yaml).
        image_size: side of the image; by default the model's own.
    """
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        return inspect.show(source, image_size)
    fields = load_yaml(path)
    if not fields.keys() & Recipe.model_fields.keys() or _has_data(fields):
        return inspect.show(resolve(source).drawn(), image_size)
    model = fields.get("model")
    model = model if isinstance(model, dict) else {}
    head = model.get("head")
    if isinstance(head, str):
        head = {"type": head}
    said = isinstance(head, dict) and "num_classes" in head
    if "task" not in fields and head is None and "card" not in model:
        fields["task"] = "detection"
    data = fields.get("data")
    fields["data"] = {"path": "data"} | (dict(data) if isinstance(data, dict) else {})
    overrides = [] if said else [f"model.head.num_classes={ASSUMED_CLASSES}"]
    figure = inspect.show(resolve(fields, overrides=overrides).drawn(), image_size)
    if said:
        return figure
    return replace(figure, title=f"{figure.title}, {ASSUMED_CLASSES} classes assumed without data")


def _has_data(fields: dict[str, Any]) -> bool:
    data = fields.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    return path is not None and Path(str(path)).exists()
