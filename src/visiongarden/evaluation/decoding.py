"""Decoding of any model, whether it is made of parts or imported from Darknet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visiongarden.models.kinds import MadeOfParts
from visiongarden.tasks import task_of


def decoding_of(model: Any) -> Callable[..., tuple[Any, ...]]:
    """Return a function `decode(raw, image_size)` that returns the arrays named by `outputs_of`."""
    if isinstance(model, MadeOfParts):
        decode: Callable[..., tuple[Any, ...]] = model.parts.head.decode()
        return decode
    return model.decode() if model.heads else _as_scores


def outputs_of(model: Any) -> tuple[str, ...]:
    """Return the names of a model's decoded arrays, in order."""
    return task_of(model).outputs


def _as_scores(raw: Any, image_size: Any) -> tuple[Any]:
    return (raw,)
