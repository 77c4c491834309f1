"""Names that Keras counted up ("conv2d_3"): a position in disguise, which an insertion shifts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from visiongarden.backends.keras_internals import has_automatic_name

Groups = dict[tuple[str, str], set[str]]
"""Path around layers and their common name, "dense" of "dense_3" -> the names."""


def shifted(target: Any, layers: Iterable[str], source: Iterable[str]) -> set[str]:
    """Those of the target's `layers` whose counted names cannot be trusted.

    Where both sides have the same counted names side by side, they are taken for the same layers;
    where one side has more of them, every one of them may be another's.

    Args:
        target: the model.
        layers: paths of its layers that have weights.
        source: paths of the source's.
    """
    layers = list(layers)
    counted = {each.name for each in target._flatten_layers() if has_automatic_name(each)}
    here, there = _groups(layers, counted), _groups(source, None)
    wrong = {key for key, names in here.items() if there.get(key, names) != names}
    return {layer for layer in layers if any(key in wrong for key, _ in _keys(layer, counted))}


def _groups(layers: Iterable[str], counted: set[str] | None) -> Groups:
    found: Groups = defaultdict(set)
    for layer in layers:
        for key, name in _keys(layer, counted):
            found[key].add(name)
    return found


def _keys(layer: str, counted: set[str] | None) -> Iterable[tuple[tuple[str, str], str]]:
    steps = layer.split("/")
    for i, step in enumerate(steps):
        if counted is None or step in counted:
            yield ("/".join(steps[:i]), re.sub(r"_\d+$", "", step)), step
