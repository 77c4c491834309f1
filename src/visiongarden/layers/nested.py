"""The layers inside a layer: by names from the outside in, and which of them are frozen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from visiongarden.backends.keras_internals import has_automatic_name


def nested(layer: Any) -> Iterator[tuple[str, Any]]:
    """(names from the outside in, "outer/inner"; layer) of a layer, "", and all inside, each once.

    A layer comes before those inside it. Paths of weights spell the same names for most models, but
    a functional model inside another leaves no trace in them.
    """
    yield from _nested(layer, "", set())


def _nested(layer: Any, chain: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield chain, layer
    inside = layer.layers if isinstance(layer, keras.Model) else layer._layers
    for each in inside:
        yield from _nested(each, f"{chain}/{each.name}".lstrip("/"), seen)


def by_chain(layer: Any) -> dict[str, Any]:
    """Names from the outside in -> each layer inside, once; "" is the layer itself.

    The names are the same in each process: numbers that Keras counted up are left out, and layers
    side by side with one name are numbered in their order, "add", "add:2".
    """
    return dict(_chains(layer, "", set()))


def _chains(layer: Any, chain: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    seen.add(id(layer))
    yield chain, layer
    taken: Counter[str] = Counter()
    for each in layer.layers if isinstance(layer, keras.Model) else layer._layers:
        if id(each) in seen:
            continue
        name = re.sub(r"_\d+$", "", each.name) if has_automatic_name(each) else each.name
        taken[name] += 1
        number = f":{taken[name]}" if taken[name] > 1 else ""
        yield from _chains(each, f"{chain}/{name}{number}".lstrip("/"), seen)


def trainable_inside(layer: Any) -> dict[str, bool]:
    """Names of the layers inside whose `trainable` is not that of the layer around them -> it."""
    chains = by_chain(layer)
    return {
        chain: bool(each.trainable)
        for chain, each in chains.items()
        if chain and each.trainable != chains[chain.rpartition("/")[0]].trainable
    }


def set_trainable(layer: Any, value: bool, inside: Mapping[str, bool]) -> None:
    """Freezes or unfreezes a layer with all inside it, but for those that `inside` names."""
    _set_all(layer, value)
    if inside:
        # From the outside in: what is set for a layer holds for those inside it, until they say so.
        for chain, each in by_chain(layer).items():
            if chain and chain in inside:
                _set_all(each, bool(inside[chain]))


def _set_all(layer: Any, value: bool) -> None:
    # On TensorFlow, Keras passes `trainable` on to sublayers only where it changes: a layer made
    # with trainable=False has sublayers that are trained. Hence from the inside out.
    for _, each in reversed(list(nested(layer))):
        each.trainable = value
