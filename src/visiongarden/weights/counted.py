"""Automatic names of layers ("conv2d_3"), which express a position in the model.

Inserting a layer shifts the numbers of all layers of its class that follow.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from visiongarden.backends.names import has_automatic_name
from visiongarden.backends.sublayers import with_sublayers

Groups = dict[tuple[str, str], set[str]]
"""Names of layers by the path of the enclosing layer and the common stem, "dense" of "dense_3"."""


def shifted(target: Any, layers: Iterable[str], source: Iterable[str]) -> set[str]:
    """Return the layers of a target whose automatic names may denote other layers in the source.

    If both sides have the same automatic names in an enclosing layer, equal names are assumed to
    denote the same layers. If one side has more of them, each name may denote another layer.

    Args:
        target: The model.
        layers: Paths of its layers with weights.
        source: Paths of the source's layers with weights.
    """
    layers = list(layers)
    counted = {each.name for each in with_sublayers(target) if has_automatic_name(each)}
    target_groups, source_groups = _groups(layers, counted), _groups(source, None)
    # A group that the source lacks is harmless, because nothing matches its names anyway.
    unequal = {
        key for key, names in target_groups.items() if source_groups.get(key, names) != names
    }
    return {layer for layer in layers if any(key in unequal for key, _ in _keys(layer, counted))}


def _groups(layers: Iterable[str], counted: set[str] | None) -> Groups:
    groups: Groups = defaultdict(set)
    for layer in layers:
        for key, name in _keys(layer, counted):
            groups[key].add(name)
    return groups


def _keys(layer: str, counted: set[str] | None) -> Iterable[tuple[tuple[str, str], str]]:
    steps = layer.split("/")
    for i, step in enumerate(steps):
        # A file does not record which names of the source are automatic, so that each may be.
        if counted is None or step in counted:
            yield ("/".join(steps[:i]), re.sub(r"_\d+$", "", step)), step
