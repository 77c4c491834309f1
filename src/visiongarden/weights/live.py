"""Access to the weights of a model in memory, by path and by the layer that owns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from visiongarden.backends.sublayers import own_weights, with_sublayers
from visiongarden.errors import UserError
from visiongarden.layers.nested import nested


@dataclass(frozen=True)
class Owned:
    """A weight of a model in memory, with the layer that created it.

    Attributes:
        path: Path of the weight.
        variable: The Keras variable.
        layer: The layer that created it.
    """

    path: str
    variable: Any
    layer: Any


def named_weights(model: Any) -> dict[str, Any]:
    """Return the variables of all weights by path. A shared weight appears once.

    Raises:
        UserError: If the model has no weights, or two of its weights have the same path.
    """
    found: dict[str, Any] = {}
    for weight in {id(w): w for w in model.weights}.values():
        if weight.path in found:
            raise UserError(
                f"two weights of {model.name} have the path {weight.path}",
                rule="unique paths, which consist of the names of the layers",
                fix="give the layers different names",
            )
        found[weight.path] = weight
    if not found:
        raise UserError(
            f"{model.name} has no weights",
            rule="a built model",
            fix="call the model once, or define its input shape",
        )
    return found


def owners(model: Any) -> dict[str, Owned]:
    """Return all weights by path, with the layers that created them."""
    paths = {id(variable): path for path, variable in named_weights(model).items()}
    found = {}
    for layer in with_sublayers(model):
        for variable in own_weights(layer):
            path = paths.get(id(variable))
            if path is not None:
                found[path] = Owned(path, variable, layer)
    return found


def by_layer_names(model: Any) -> dict[str, tuple[str, ...]]:
    """Return the paths of each layer's weights, in order, by the names of nested layers.

    Keras structures a weights file by these names ("outer/inner"). For most models they are part of
    the paths of the weights, but the name of a functional model inside another model is not.
    """
    paths = {id(variable): path for path, variable in named_weights(model).items()}
    found: dict[str, tuple[str, ...]] = {}
    for chain, layer in nested(model):
        layer_paths = tuple(paths[id(v)] for v in own_weights(layer) if id(v) in paths)
        if layer_paths:
            # Two layers with the same name cannot be distinguished, so that neither is matched.
            found[chain] = () if chain in found else layer_paths
    return found
