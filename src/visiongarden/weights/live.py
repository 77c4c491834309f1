"""The weights of a live model: by path, and by the layer that owns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from visiongarden.errors import UserError
from visiongarden.layers.nested import nested


@dataclass(frozen=True)
class Owned:
    """A weight of a live model with the layer that made it."""

    path: str
    variable: Any
    layer: Any


def named_weights(model: Any) -> dict[str, Any]:
    """Path -> variable of every weight, each once.

    Raises:
        UserError: the model has no weights yet, or two of its weights have one path.
    """
    found: dict[str, Any] = {}
    for weight in {id(w): w for w in model.weights}.values():
        if weight.path in found:
            raise UserError(
                f"two weights of {model.name} have the path {weight.path}",
                rule="weights are told apart by path, which is made of layers' names",
                fix="give the layers different names",
            )
        found[weight.path] = weight
    if not found:
        raise UserError(
            f"{model.name} has no weights",
            rule="a model that is built",
            fix="call the model once, or give it an input shape",
        )
    return found


def owners(model: Any) -> dict[str, Owned]:
    """Path -> weight and the layer that made it."""
    paths = {id(variable): path for path, variable in named_weights(model).items()}
    found = {}
    for layer in model._flatten_layers():
        for variable in _own(layer):
            path = paths.get(id(variable))
            if path is not None:
                found[path] = Owned(path, variable, layer)
    return found


def by_layer_names(model: Any) -> dict[str, tuple[str, ...]]:
    """Names of nested layers, "outer/inner" -> paths of the layer's own weights, in their order.

    Keras writes a weights file by this nesting; for most models it spells the paths themselves, but
    a functional model inside another leaves no trace in the paths of its weights.
    """
    paths = {id(variable): path for path, variable in named_weights(model).items()}
    found: dict[str, tuple[str, ...]] = {}
    for chain, layer in nested(model):
        own = tuple(paths[id(v)] for v in _own(layer) if id(v) in paths)
        if own:
            # Two layers of one name side by side cannot be told apart: neither is matched.
            found[chain] = () if chain in found else own
    return found


def _own(layer: Any) -> list[Any]:
    return [*layer._trainable_variables, *layer._non_trainable_variables]
