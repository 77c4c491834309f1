"""Values inside a Keras model: the outputs of its layers, also of models inside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import keras
import numpy as np

from visiongarden.backends.graph import graph_of, node_of
from visiongarden.errors import UserError, option
from visiongarden.models import Joined
from visiongarden.weights.networks.network import (
    Network,
    Shape,
    Values,
    cannot_run,
    fitting,
    unused,
)


def keras_network(model: keras.Model, label: str) -> Network:
    """Return the network of a Keras model: a functional one, or one made of parts.

    Raises:
        UserError: The model is not a graph of layers from one image.
    """
    if isinstance(model, Joined):
        found = named_values(model)
        return Network(label, True, lambda image, shapes: _of_parts(found, label, image, shapes))
    graph = graph_of(model)
    if graph is None or len(graph.inputs) != 1:
        raise UserError(
            f"{label} is not a functional model of one image, so that its values are not known",
            rule="keras.Model(inputs, outputs), made by calling layers on keras.Input",
            fix=f"leave out {option('prove')}",
        )

    def values(image: np.ndarray, shapes: Collection[Shape]) -> Values:
        try:
            for name, array in _inside(model, image, ""):
                yield from fitting(name, array, shapes)
        except (ValueError, TypeError, RuntimeError) as error:
            raise cannot_run(label, image, error) from error

    return Network(label, False, values)


def named_values(model: Joined) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return a function from images to the levels of all parts and the raw predictions by name.

    Names are "backbone/p3" or "head/p3/boxes". Anchors are moved to the channels, so that all maps
    have the axes (batch, height, width, channels). A tensor that a part passes on unchanged appears
    once.
    """
    images = keras.Input(tuple(model.inputs[0].shape[1:]), dtype="float32")
    tensors = model.features(images) | {"head": model(images, training=False)}
    named = {"/".join(map(str, path)): x for path, x in keras.tree.flatten_with_path(tensors)}
    graph = keras.Model(images, named)

    def values(given: np.ndarray) -> dict[str, np.ndarray]:
        arrays = {name: _as_map(x) for name, x in graph.predict_on_batch(given).items()}
        ordered = {name: arrays[name] for name in named}
        return {
            name: array
            for name, array in ordered.items()
            if not any(_is_same(array, other) for other in _before(ordered, name))
        }

    return values


def _before(arrays: dict[str, np.ndarray], name: str) -> Iterator[np.ndarray]:
    for each, array in arrays.items():
        if each == name:
            return
        yield array


def _is_same(array: np.ndarray, other: np.ndarray) -> bool:
    return array.shape == other.shape and np.array_equal(array, other)


def _as_map(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.float32)
    return array.reshape(*array.shape[:3], -1) if array.ndim > 4 else array


def _of_parts(
    found: Callable[[np.ndarray], dict[str, np.ndarray]],
    label: str,
    image: np.ndarray,
    shapes: Collection[Shape],
) -> Values:
    try:
        arrays = found(image)
    except (ValueError, TypeError, RuntimeError) as error:
        raise cannot_run(label, image, error) from error
    for name, array in arrays.items():
        yield from fitting(name, array, shapes)


def _inside(model: Any, image: Any, start: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the outputs of all layers of a graph, then those of the graphs inside it."""
    tensors: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for node in _calls(model):
        operation, name = node.operation, f"{start}{node.operation.name}"
        for tensor in node.output_tensors:
            tensors[unused(name, tensors)] = tensor
        if isinstance(operation, keras.Model) and graph_of(operation):
            key = unused(f"{name}/", tensors)
            tensors[key], inner[key] = node.input_tensors[0], operation
    found = keras.Model(model.inputs[0], tensors)(image, training=False)
    for name, tensor in found.items():
        if name not in inner:
            yield name, keras.ops.convert_to_numpy(tensor).astype(np.float32)
    for name, network in inner.items():
        if len(network.inputs) == 1:
            yield from _inside(network, found[name], name)


def _calls(model: Any) -> list[Any]:
    """Return the calls of layers of a graph, from its outputs back to its inputs."""
    known = {id(tensor) for tensor in model.inputs}
    waiting, found = list(model.outputs), []
    while waiting:
        tensor = waiting.pop()
        node = None if id(tensor) in known else node_of(tensor)
        known.add(id(tensor))
        if node is not None and not isinstance(node.operation, keras.layers.InputLayer):
            known |= {id(each) for each in node.output_tensors}
            found.append(node)
            waiting += node.input_tensors
    return found
