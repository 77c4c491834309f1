"""Decoding of any model, whether it is made of parts or imported from Darknet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visiongarden.errors import UserError
from visiongarden.models.kinds import MadeOfParts, WithSignature
from visiongarden.tasks import task_of
from visiongarden.types import ImageSize, Tensor


def decoding_of(model: Any) -> Callable[[Any, ImageSize], dict[str, Tensor]]:
    """Return a function `decode(raw, image_size)` that returns the arrays named by `outputs_of`.

    Raises:
        UserError: The head has no decoding, or one without an output that the task needs.
    """
    if not isinstance(model, MadeOfParts):
        return model.decode() if model.heads else _as_scores
    head = model.parts.head
    decoding, declared = head.chosen_decoding(), outputs_of(model)
    needed = task_of(model).needed_outputs(declared)
    missing = [name for name in needed if name not in declared]
    if missing:
        raise UserError(
            f"the decoding {type(decoding).__name__} does not return {', '.join(missing)}",
            rule=f"the outputs {', '.join(needed)} of the task {head.task}",
            received=", ".join(declared),
            fix=f"decoding={type(head).model_fields['decoding'].default!r}",
        )

    def decode(raw: Any, image_size: ImageSize) -> dict[str, Tensor]:
        found = decoding(raw, model.context(image_size))
        return {name: found[name] for name in declared}

    return decode


def outputs_of(model: Any) -> tuple[str, ...]:
    """Return the names of a model's decoded arrays, in order."""
    if isinstance(model, WithSignature):
        return tuple(model.signature.outputs)
    if not isinstance(model, MadeOfParts):
        return task_of(model).outputs
    outputs: tuple[str, ...] = model.parts.head.chosen_decoding().outputs
    return outputs


def _as_scores(raw: Any, image_size: Any) -> dict[str, Tensor]:
    return {"scores": raw}
