"""How notebooks show a model: its parts with their sizes and parameters."""

from __future__ import annotations

import math
from typing import Any

from visiongarden import markup
from visiongarden.types import ClassMap

_NAMED = 20


def as_html(model: Any) -> str:
    """Return the parts of a model, with output shapes and parameters, as HTML.

    Args:
        model: A `Detector`, `Classifier` or `Segmenter`.
    """
    rows = [
        (
            role,
            repr(part),
            _shapes(built.output),
            f"{built.count_params():,}",
        )
        for role, part, built in (
            ("backbone", model.parts.backbone, model.backbone),
            ("decoder", model.parts.decoder, model.decoder),
            ("head", model.parts.head, model.head),
        )
    ]
    return markup.section(
        f"{type(model).__name__} {model.name}",
        markup.table(("", ""), facts(model)),
        markup.table(("", "part", "outputs", "parameters"), rows),
    )


def facts(model: Any) -> list[tuple[str, str]]:
    """Return image size, classes, parameters and precision of a model as rows of a table.

    Args:
        model: A model with `image_size` and `class_map`.
    """
    size = model.image_size
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return [
        ("image size", "any" if size is None else f"{size[0]} × {size[1]}"),
        ("preprocessing", str(model.preprocessing)),
        ("resize", str(model.resize)),
        ("classes", _classes(model.class_map)),
        ("parameters", f"{model.count_params():,}, {trainable:,} of them trainable"),
        ("dtype policy", model.dtype_policy.name),
    ]


def _classes(class_map: ClassMap | None) -> str:
    if class_map is None:
        return "not named"
    more = f", … {len(class_map) - _NAMED} more" if len(class_map) > _NAMED else ""
    return f"{len(class_map)}: {', '.join(class_map.names[:_NAMED])}{more}"


def _shapes(outputs: Any) -> str:
    """Format the shapes of outputs by level, without the axis of the batch."""
    if isinstance(outputs, dict):
        return "; ".join(f"{name}: {_shapes(inner)}" for name, inner in outputs.items())
    return " × ".join("?" if side is None else str(side) for side in outputs.shape[1:])
