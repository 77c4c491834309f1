"""Sublayers of any layer, and what belongs to a layer without its sublayers.

**Why.** Keras lists the sublayers of models (`model.layers`), but not those of layers made of
layers, of which blocks and custom layers consist. **Gain:** correctness: weights of sublayers are
transferred, counted, folded, checked and frozen. **Switch:** none; with an untested version of
Keras, sublayers are found in the attributes of a layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import keras

from visiongarden.backends.versions import is_tested

_NOT_SUBLAYERS = frozenset({"_arguments", "_first_call", "_layers"})
"""Attributes that may hold layers which are no sublayers: recorded constructor arguments."""


def children(layer: keras.Layer) -> list[keras.Layer]:
    """Return the sublayers of a layer, without those inside them, in the order of creation.

    The list is empty for a layer whose constructor has not run yet.
    """
    if is_tested("keras"):
        return list(vars(layer).get("_layers", ()))
    return _public_children(layer)


def _public_children(layer: keras.Layer) -> list[keras.Layer]:
    if isinstance(layer, keras.Model):
        return list(layer.layers)
    values = [value for name, value in vars(layer).items() if name not in _NOT_SUBLAYERS]
    found = {id(each): each for each in _layers_in(values) if each is not layer}
    return list(found.values())


def _layers_in(value: Any) -> Iterator[keras.Layer]:
    if isinstance(value, keras.Layer):
        yield value
    elif isinstance(value, dict):
        yield from _layers_in(list(value.values()))
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _layers_in(item)


def with_sublayers(layer: keras.Layer) -> list[keras.Layer]:
    """Return a layer and all layers inside it, each once, in the order of Keras's own walks."""
    return [layer, *inner_layers(layer)]


def inner_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Return all layers inside a layer, each once."""
    found: dict[int, keras.Layer] = {}
    todo = deque(children(layer))
    while todo:
        each = todo.popleft()
        if id(each) not in found:
            found[id(each)] = each
            todo.extendleft(children(each))
    return list(found.values())


def own_weights(layer: keras.Layer) -> list[keras.Variable]:
    """Return the weights that a layer itself created, without those of its sublayers."""
    inner = {id(weight) for each in children(layer) for weight in each.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def trained_unless_frozen(layer: keras.Layer) -> list[keras.Variable]:
    """Return the weights that a layer itself trains unless it is frozen, such as no statistics."""
    if is_tested("keras"):
        return list(vars(layer).get("_trainable_variables", ()))
    is_frozen = not layer.trainable
    statistics = ("moving_mean", "moving_variance")
    return [
        w for w in own_weights(layer) if w.trainable or (is_frozen and w.name not in statistics)
    ]


def added_losses(layer: keras.Layer) -> list[Any]:
    """Return the losses that a layer and its sublayers added by `add_loss`; no regularizers."""
    # `losses` contains both kinds; without regularizers only the added ones remain.
    regularizers = [(weight, weight.regularizer) for weight in layer.weights]
    try:
        for weight, _ in regularizers:
            weight.regularizer = None
        return list(layer.losses)
    finally:
        for weight, regularizer in regularizers:
            weight.regularizer = regularizer
