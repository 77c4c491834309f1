"""A model's decoding, whether it is made of parts or imported from Darknet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visiongarden.tasks import task_of


def decoding_of(model: Any) -> Callable[..., tuple[Any, ...]]:
    """`decode(raw, image_size)` -> the arrays that `outputs_of` names."""
    if hasattr(model, "parts"):
        decode: Callable[..., tuple[Any, ...]] = model.parts.head.decode()
        return decode
    return model.decode() if model.heads else _as_scores


def outputs_of(model: Any) -> tuple[str, ...]:
    """Names of the decoded arrays: those of the model's task."""
    if hasattr(model, "heads") and not model.heads:  # a Darknet network that classifies
        return ("scores",)
    return task_of(model).outputs


def _as_scores(raw: Any, image_size: Any) -> tuple[Any]:
    return (raw,)
