"""Checks of a part's fields: each must be serializable and have an effect."""

from __future__ import annotations

import json
import typing
from typing import Any

import keras

from visiongarden.backends.sublayers import with_sublayers
from visiongarden.backends.weightless import weightless
from visiongarden.errors import UserError
from visiongarden.losses import Loss
from visiongarden.parts import Backbone, Decoder, Head, Part
from visiongarden.postprocess import Decoding
from visiongarden.testing.report import Finding, passed, warned
from visiongarden.testing.subject import Subject


def unwritable_field(part: Part) -> tuple[str, str] | None:
    """Find a field whose value cannot be written to YAML or a model file.

    Args:
        part: Part whose config is tested.

    Returns:
        Evidence and advice for the first such field, or None if all are serializable.
    """
    for name, value in part.get_config().items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            kind = type(dict(part).get(name, value)).__name__
            return (
                f"the field {name} is a {kind}, which cannot be saved in YAML or a model file",
                f"use text, numbers, lists of them or another part for {name}, and resolve names "
                f"in wire(): {name}: str, then keras.activations.get(self.{name})",
            )
    return None


def fields_used(subject: Subject) -> Finding:
    """Check that every field of a part changes its graph, loss or decoding.

    Other values are tested for fields whose type or default suggests some; the rest are not tested.
    """
    part = subject.part
    before = _description(part, subject)
    idle, tested = [], 0
    of_role = {name for base in (Backbone, Decoder, Head) for name in base.model_fields}
    for name, field in type(part).model_fields.items():
        if name in of_role:
            continue  # declared by the base class, so not every part needs it
        effects = []
        for value in _other_values(field.annotation, dict(part)[name]):
            try:
                other = part.replace(**{name: value})
                if other != part:
                    effects.append(_description(other, subject) != before)
            except (UserError, ValueError, TypeError, KeyError, AttributeError):
                continue  # not a valid value for this field
            if effects and effects[-1]:
                break
        tested += bool(effects)
        if effects and not any(effects):
            idle.append(name)
    if idle:
        return warned(
            f"no effect of the field{'s' * (len(idle) > 1)} {', '.join(idle)}",
            "use it in wire(), name it in `head_fields` of the loss or the decoding, or delete it",
        )
    return passed(f"{tested} fields tested, each has an effect")


def _description(part: Part, subject: Subject) -> str:
    """Describe everything that a field can affect as text: graph, layer configs, loss, decoding."""
    with weightless():
        model = part.as_model(subject.features, subject.fixed_size)
    # Without the model itself, whose config repeats those of its layers.
    layers = [_config(layer) for layer in with_sublayers(model) if layer is not model]
    texts = [json.dumps(layers, default=str, sort_keys=True), _shape_text(model)]
    if isinstance(part, Head):
        readers = (part.loss, part.decoding)
        read = {n for r in readers if isinstance(r, Loss | Decoding) for n in r.head_fields}
        texts.append(repr([(name, dict(part).get(name)) for name in sorted(read)]))
    return "\n".join(texts)


def _config(layer: Any) -> Any:
    try:
        return layer.get_config()
    except (NotImplementedError, TypeError, ValueError):
        return repr(vars(layer))


def _shape_text(model: keras.Model) -> str:
    weights = [f"{w.path}{tuple(w.shape)}" for w in model.weights]
    outputs = keras.tree.map_structure(lambda t: tuple(t.shape), model.output)
    return f"{weights} {outputs}"


def _other_values(annotation: Any, value: Any) -> list[Any]:
    """List other values for a field, most likely valid first."""
    choices = [a for a in typing.get_args(annotation) if isinstance(a, str)]
    if typing.get_origin(annotation) is typing.Literal:
        return [choice for choice in choices if choice != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [2 * value, value + 1, max(value // 2, 1)]
    if isinstance(value, float):
        return [value * 0.5 if value else 0.25, value + 1.0]
    if isinstance(value, str):
        return [other for other in ("relu", "silu", "gelu") if other != value]
    return []
