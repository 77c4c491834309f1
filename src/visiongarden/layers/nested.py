"""Traversal of nested layers by their names, and the `trainable` setting of each of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from visiongarden.backends.names import has_automatic_name
from visiongarden.backends.sublayers import children


def nested(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name path, layer) of a layer and of all layers inside it, each layer once.

    The path joins the names from the outside in, "outer/inner"; that of the layer itself is "". A
    layer comes before the layers inside it. For most models the paths equal those of the weights,
    but a functional model inside another one does not appear in the paths of its weights.
    """
    yield from _nested(layer, "", set())


def _nested(layer: Any, chain: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield chain, layer
    for each in _inside(layer):
        yield from _nested(each, f"{chain}/{each.name}".lstrip("/"), seen)


def _inside(layer: Any) -> list[Any]:
    # Without the input layer of a sequential model, which Keras adds.
    return list(layer.layers) if isinstance(layer, keras.Model) else children(layer)


def by_chain(layer: Any) -> dict[str, Any]:
    """Return a dict of name path -> layer of all layers inside, each once; "" is the layer itself.

    The paths are the same in each process: numbers that Keras appended are removed, and layers with
    the same name side by side are numbered in their order ("add", "add:2").
    """
    return dict(_chains(layer, "", set()))


def _chains(layer: Any, chain: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    seen.add(id(layer))
    yield chain, layer
    taken: Counter[str] = Counter()
    for each in _inside(layer):
        if id(each) in seen:
            continue
        name = re.sub(r"_\d+$", "", each.name) if has_automatic_name(each) else each.name
        taken[name] += 1
        number = f":{taken[name]}" if taken[name] > 1 else ""
        yield from _chains(each, f"{chain}/{name}{number}".lstrip("/"), seen)


def trainable_inside(layer: Any) -> dict[str, bool]:
    """Return name path -> `trainable` of inner layers that differ from the layer around them."""
    chains = by_chain(layer)
    return {
        chain: bool(each.trainable)
        for chain, each in chains.items()
        if chain and each.trainable != chains[chain.rpartition("/")[0]].trainable
    }


def set_trainable(layer: Any, value: bool, inside: Mapping[str, bool]) -> None:
    """Freeze or unfreeze a layer and all layers inside it, with exceptions by name path.

    Args:
        layer: the outer layer.
        value: `trainable` of all layers that `inside` does not name.
        inside: name path -> `trainable`, as returned by `trainable_inside`.
    """
    _set_all(layer, value)
    if inside:
        # From the outside in: a value applies to all layers inside, until one of them overrides it.
        for chain, each in by_chain(layer).items():
            if chain and chain in inside:
                _set_all(each, bool(inside[chain]))


def _set_all(layer: Any, value: bool) -> None:
    # From the inside out: on TensorFlow, Keras passes `trainable` to sublayers only if the value
    # changes, so that the sublayers of a layer created with trainable=False would be trained.
    for _, each in reversed(list(nested(layer))):
        each.trainable = value
