"""`show`: the figure of a model file, or of the model that a recipe would train."""

from __future__ import annotations

from pathlib import Path

from visiongarden import inspect
from visiongarden.recipes.resolve import resolve


def show(source: str | Path, image_size: int | None = None) -> inspect.Figure:
    """The figure of a model.

    Args:
        source: a model file (.keras), or a recipe (.yaml).
        image_size: side of the image; by default the model's own.
    """
    if Path(source).suffix not in {".yaml", ".yml"}:
        return inspect.show(source, image_size)
    return inspect.show(resolve(source).drawn(), image_size)
