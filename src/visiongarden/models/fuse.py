"""`fused`: the same model for use alone: normalisation and parallel branches folded away."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.errors import UserError
from visiongarden.layers import Composite


def fused(model: Any) -> Any:
    """A model of the same parts that computes the same with fewer operations, to rounding.

    Batch normalisation folds into the convolution before it, parallel branches into one
    convolution, and what a head has for training alone is left out. The result is saved and
    reopened like any model; it is no longer to be trained.

    Args:
        model: made of parts, with its weights.

    Raises:
        UserError: the model is fused already.
    """
    config = model.get_config()
    if config.get("fused"):
        raise UserError(f"{model.name!r} is fused already")
    twin = type(model).from_config(config | {"fused": True})
    values = _values(model)
    missing = [weight.path for weight in twin.weights if weight.path not in values]
    if missing:
        raise UserError(
            f"{model.name!r} cannot be fused: {missing[0]} has no counterpart",
            rule="a layer that takes `folded` has fold(), which gives all weights of that form",
        )
    for weight in twin.weights:
        weight.assign(values[weight.path])
    return twin


def _values(model: keras.Model) -> dict[str, Any]:
    """Path -> array: every weight of the model, and those of the folded forms of its layers."""
    values = {weight.path: weight.value for weight in model.weights}
    for layer in model._flatten_layers():
        folded = layer.fold() if isinstance(layer, Composite) and _has_norm(layer) else None
        if folded:
            values |= {f"{layer.path}/{name}": array for name, array in folded.items()}
    return values


def _has_norm(layer: Composite) -> bool:
    return any("norm/" in weight.path for weight in layer.weights)
