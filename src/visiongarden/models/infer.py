"""`infer`: prediction of a model on images, by the function of a package that imports this one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any


def infer(model: Any, images: Any, **options: Any) -> Iterator[Any]:
    """Predict on images with `visiongarden.evaluation.predict`.

    Args:
        model: The model.
        images: As in `predict`.
        **options: As in `predict`.
    """
    # Imported by name, because imports go downward only, and evaluation is above the models.
    evaluation = importlib.import_module("visiongarden.evaluation")
    found: Iterator[Any] = evaluation.predict(model, images, **options)
    return found
