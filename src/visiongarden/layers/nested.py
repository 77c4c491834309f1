"""The layers inside a layer: by names from the outside in, and which of them are frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras


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
    """`nested` as a dict; layers side by side with one name are numbered: "add", "add:2"."""
    found: dict[str, Any] = {}
    for chain, each in nested(layer):
        number, key = 1, chain
        while key in found:
            number += 1
            key = f"{chain}:{number}"
        found[key] = each
    return found


def trainable_inside(layer: Any) -> dict[str, bool]:
    """Names of the layers inside whose `trainable` is not that of the layer around them -> it."""
    around = {"": bool(layer.trainable)}
    found = {}
    for chain, each in by_chain(layer).items():
        if not chain:
            continue
        around[chain] = bool(each.trainable)
        outer = chain
        while outer:
            outer = outer.rpartition("/")[0]
            if outer in around:
                break
        if around[chain] != around[outer]:
            found[chain] = around[chain]
    return found


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
