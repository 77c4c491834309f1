"""Feature maps in the graph of a Keras network: finding them, and building up to them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras

from visiongarden.backends.names import fresh_names

_DEEPEST = 6


def levels_in(network: keras.Model) -> dict[str, str]:
    """Return level -> name of the last operation of its stride that all paths pass through.

    Args:
        network: Functional network of one square image of a known size.
    """
    side = network.input.shape[1]
    found: dict[str, str] = {}
    for operation in _narrows(network):
        output = operation.output
        shape = tuple(output.shape) if isinstance(output, keras.KerasTensor) else ()
        if len(shape) != 4 or shape[1] != shape[2] or not shape[1] or side % shape[1]:
            continue
        stride = side // shape[1]
        level = stride.bit_length() - 1
        if 0 < level <= _DEEPEST and stride == 2**level:
            found[f"p{level}"] = operation.name
    return found


def _narrows(network: keras.Model) -> list[Any]:
    """Return the operations that every path passes through, in order.

    Between them, several tensors are needed later; the map of a single branch is never a level.
    """
    operations = network.operations
    # A tensor is live from its operation until its last consumer. Where only one tensor is live,
    # all paths pass through it.
    waiting = Counter(id(x) for op in operations for x in keras.tree.flatten(op.input))
    for output in network.outputs:
        waiting[id(output)] += 1
    found, live = [], set()
    for operation in operations:
        takes = [] if isinstance(operation, keras.layers.InputLayer) else operation.input
        for tensor in keras.tree.flatten(takes):
            waiting[id(tensor)] -= 1
            if not waiting[id(tensor)]:
                live.discard(id(tensor))
        live |= {id(x) for x in keras.tree.flatten(operation.output) if waiting[id(x)]}
        if len(live) == 1:
            found.append(operation)
    return found


def cut(network: keras.Model, levels: Mapping[str, str], name: str) -> keras.Model:
    """Return the part of a network that ends at the named operations; it shares the layers.

    Args:
        network: Functional network of one image.
        levels: Names of operations by level.
        name: Name of the result.
    """
    there = {operation.name: operation for operation in network.operations}
    outputs = {level: there[operation].output for level, operation in levels.items()}
    return keras.Model(network.input, outputs, name=name)


def serialized(network: keras.Model) -> dict[str, Any]:
    """Return the serialized form of a functional network, without the shapes of its input.

    Recorded shapes are those of the old input; layers are built by their calls.
    """
    config: dict[str, Any] = keras.saving.serialize_keras_object(network)
    config.pop("build_config", None)
    for layer in config["config"]["layers"]:
        layer.pop("build_config", None)
    return config


def with_input(config: Mapping[str, Any], shape: tuple[int | None, ...]) -> keras.Model:
    """Build a network from its serialized form for images of another shape, with new weights.

    Args:
        config: Serialized network of one image.
        shape: (height, width, channels); None where a side is unknown.
    """
    changed = copy.deepcopy(dict(config))
    for layer in changed["config"]["layers"]:
        if layer.get("class_name") == "InputLayer":
            layer["config"]["batch_shape"] = [None, *shape]
    with fresh_names():
        network: keras.Model = keras.saving.deserialize_keras_object(changed, safe_mode=True)
    return network


def copy_by_layer(source: keras.Model, target: keras.Model) -> None:
    """Copy all weights to `target`, by layer name and position within the layer."""
    for layer in target.layers:
        if layer.weights:
            theirs = source.get_layer(layer.name).weights
            for weight, other in zip(layer.weights, theirs, strict=True):
                weight.assign(other.value)
