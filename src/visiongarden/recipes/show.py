"""`show`: the figure of a model file, or of the model that a recipe would train."""

from __future__ import annotations

from pathlib import Path

from visiongarden import inspect
from visiongarden.recipes.resolve import resolve
from visiongarden.tasks import find


def show(source: str | Path, image_size: int | None = None) -> inspect.Figure:
    """The figure of a model.

    Args:
        source: a model file (.keras), or a recipe (.yaml).
        image_size: side of the image; by default the model's own.
    """
    if Path(source).suffix not in {".yaml", ".yml"}:
        return inspect.show(source, image_size)
    recipe = resolve(source)
    parts = recipe.model
    model = find(recipe.task).model(
        backbone=parts.backbone, decoder=parts.decoder, head=parts.head, image_size=parts.image_size
    )
    return inspect.show(model, image_size)
