"""Comparison of two models, and the weights that a transfer between them would copy."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from visiongarden.backends.weightless import weightless
from visiongarden.inspect.counting import Count, built, count_of, size_for, symbolic_inputs
from visiongarden.inspect.macs import macs_by_layer
from visiongarden.inspect.model_diff import FieldChange, LayerChange, ModelDiff
from visiongarden.models import Joined, load
from visiongarden.parts import IMAGE, Part
from visiongarden.types import FeatureSpec, ImageSize
from visiongarden.weights.live import named_weights

Shapes = dict[str, dict[str, tuple[int, ...]]]
"""Weight shapes by layer path and weight name."""


@dataclass(frozen=True)
class _Facts:
    label: str
    parts: dict[str, Part]
    model: dict[str, Any]
    shapes: Shapes
    count: Count
    size: ImageSize


def diff(
    before: keras.Model | Part | str | Path,
    after: keras.Model | Part | str | Path,
    image_size: ImageSize | int | None = None,
    inputs: FeatureSpec = IMAGE,
) -> ModelDiff:
    """Compare two models or parts by configuration, layers and weight shapes, not by weight values.

    Args:
        before: A model, a part, or the path of a `.keras` file.
        after: A model, a part, or the path of a `.keras` file.
        image_size: (height, width) or the side of a square, for the MACs; by default that of each
            model, or 640.
        inputs: Channels and strides of the feature maps that decoders or heads read.

    Raises:
        ModelFileError: A file cannot be opened.
        UserError: A model cannot process this image size.

    Example:
        >>> diff(vg.decoders.FPN(channels=64), vg.decoders.FPN(channels=96), inputs=spec).fields
        (FieldChange(place='decoder.channels', before=64, after=96),)
    """
    first, second = _facts(before, image_size, inputs), _facts(after, image_size, inputs)
    old, new = _flat(first.shapes), _flat(second.shapes)
    survive = tuple(path for path in new if old.get(path) == new[path])
    total = sum(map(math.prod, new.values()))
    kept = sum(math.prod(new[path]) for path in survive)
    return ModelDiff(
        before=first.label,
        after=second.label,
        fields=tuple(_fields(first, second)),
        layers=tuple(_changes(first, second)),
        count_before=first.count,
        count_after=second.count,
        sizes=(first.size, second.size),
        survive=survive,
        lost=tuple(path for path in new if path not in set(survive)),
        share=kept / total if total else 1.0,
    )


def _facts(source: Any, image_size: ImageSize | int | None, inputs: FeatureSpec) -> _Facts:
    label = ""
    if isinstance(source, (str, Path)):
        label, source = str(source), load(source)
    size = size_for(source, image_size)
    with weightless():
        model = built(source, size, inputs)
        macs = macs_by_layer(model, symbolic_inputs(model, size))
        total = count_of(model, macs)
        weights = named_weights(model) if model.weights else {}
    shapes: Shapes = defaultdict(dict)
    for path, weight in weights.items():
        layer, _, name = path.rpartition("/")
        shapes[layer][name] = tuple(weight.shape)
    parts, fields = _parts_and_fields(source)
    return _Facts(label or _label(source), parts, fields, dict(shapes), total, size)


def _label(source: Any) -> str:
    return str(source) if isinstance(source, Part) else f"{type(source).__name__} {source.name}"


def _parts_and_fields(source: Any) -> tuple[dict[str, Part], dict[str, Any]]:
    """Return the parts by role, and the model's own fields."""
    if isinstance(source, Part):
        return {source.role: source}, {}
    if not isinstance(source, Joined):
        return {}, {}
    parts = source.parts
    classes = None if source.class_map is None else list(source.class_map.names)
    size = None if source.image_size is None else list(source.image_size)
    fields = {
        "image_size": size,
        "preprocessing": source.preprocessing.to_dict(),
        "resize": source.resize.to_dict(),
        "class_map": classes,
        "dtype": source.dtype_policy.name,
    }
    return {"backbone": parts.backbone, "decoder": parts.decoder, "head": parts.head}, fields


def _fields(first: _Facts, second: _Facts) -> Iterator[FieldChange]:
    for role in dict.fromkeys([*first.parts, *second.parts]):
        old, new = first.parts.get(role), second.parts.get(role)
        if old is None or new is None or type(old) is not type(new):
            yield FieldChange(role, None if old is None else str(old), new and str(new))
        else:
            yield from changes(old.to_dict(), new.to_dict(), f"{role}.")
    if first.model and second.model:
        yield from changes(first.model, second.model)


def changes(old: Any, new: Any, prefix: str = "") -> Iterator[FieldChange]:
    """Yield the fields that differ between two dicts; nested fields have dotted names."""
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from changes(before, after, f"{prefix}{name}.")
        elif before != after:
            yield FieldChange(f"{prefix}{name}", before, after)


def with_fields(diff: ModelDiff, before: str, after: str, more: list[FieldChange]) -> ModelDiff:
    """Return a diff with other labels and additional fields, for example those of a recipe."""
    return replace(diff, before=before, after=after, fields=(*diff.fields, *more))


def _changes(first: _Facts, second: _Facts) -> Iterator[LayerChange]:
    """Yield one row for each replaced part, then the changed layers of all other parts."""
    old, new = dict(first.shapes), dict(second.shapes)
    for role in (role for role in first.parts if role in second.parts):
        before, after = _of_part(old, role), _of_part(new, role)
        if not before or not after or not _is_replaced(first, second, role, before, after):
            continue
        size = sum(_size(weights) for weights in after.values())
        detail = f"{first.parts[role]} → {second.parts[role]}"
        yield LayerChange(role, "replaced", len(after), size, detail)
        # One row for the part is enough: its layers would all be listed as removed and added.
        old = {path: weights for path, weights in old.items() if path not in before}
        new = {path: weights for path, weights in new.items() if path not in after}
    yield from _layers(old, new)


def _of_part(shapes: Shapes, role: str) -> Shapes:
    return {path: weights for path, weights in shapes.items() if path.split("/")[0] == role}


def _is_replaced(first: _Facts, second: _Facts, role: str, before: Shapes, after: Shapes) -> bool:
    """Return whether the part has another type, or no layer path in common with its predecessor."""
    if type(first.parts[role]) is not type(second.parts[role]):
        return True
    return not before.keys() & after.keys()


def _layers(old: Shapes, new: Shapes) -> Iterator[LayerChange]:
    yield from _only_in(old, new, "removed")
    yield from _only_in(new, old, "added")
    for layer in old:
        if layer in new and old[layer] != new[layer]:
            yield LayerChange(
                layer, "changed", 1, _size(new[layer]), _detail(old[layer], new[layer])
            )


def _only_in(shapes: Shapes, others: Shapes, change: str) -> Iterator[LayerChange]:
    """Yield the layers that exist only in `shapes`, by the shortest path not in `others`."""
    known = {"/".join(steps[: i + 1]) for each in others for steps in [each.split("/")] for i in
             range(len(steps))}  # fmt: skip
    grouped: dict[str, list[str]] = defaultdict(list)
    for layer in shapes:
        if layer in others:
            continue
        steps = layer.split("/")
        paths = ["/".join(steps[: i + 1]) for i in range(len(steps))]
        grouped[next((path for path in paths if path not in known), layer)].append(layer)
    for path, layers in grouped.items():
        yield LayerChange(path, change, len(layers), sum(_size(shapes[layer]) for layer in layers))


def _detail(old: dict[str, tuple[int, ...]], new: dict[str, tuple[int, ...]]) -> str:
    changed = []
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            changed.append(f"{name} {_sides(old.get(name))} → {_sides(new.get(name))}")
    return ", ".join(changed)


def _sides(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else " × ".join(map(str, shape)) or "scalar"


def _size(weights: dict[str, tuple[int, ...]]) -> int:
    return sum(map(math.prod, weights.values()))


def _flat(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {
        f"{layer}/{name}".lstrip("/"): shape
        for layer, weights in shapes.items()
        for name, shape in weights.items()
    }
