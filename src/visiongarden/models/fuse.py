"""`fused`: a copy of a model for inference, with normalization and parallel branches folded."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.backends.sublayers import with_sublayers
from visiongarden.errors import UserError
from visiongarden.layers import Composite


def fused(model: Any) -> Any:
    """Return a copy of a model for inference that needs fewer operations.

    Batch normalization is folded into the preceding convolution, parallel branches are folded into
    one convolution, and layers of the head that are used only in training are omitted. The outputs
    are equal up to rounding. The copy is saved and loaded like any model, but should not be trained
    any further.

    Args:
        model: A model made of parts, with its weights.

    Returns:
        A new model of the same class and the same parts.

    Raises:
        UserError: If the model is already fused, or a layer's `fold()` does not return every weight
            of its folded form.
    """
    config = model.get_config()
    if config.get("fused"):
        raise UserError(f"{model.name!r} is already fused")
    # The weights of folded layers have other paths and shapes, so that the model is built again
    # and every value is assigned by path.
    copy = type(model).from_config(config | {"fused": True})
    values = _values(model)
    missing = [weight.path for weight in copy.weights if weight.path not in values]
    if missing:
        raise UserError(
            f"{model.name!r} cannot be fused: {missing[0]} has no counterpart",
            rule="a layer with the argument `folded` has fold(), which returns all folded weights",
        )
    for weight in copy.weights:
        weight.assign(values[weight.path])
    return copy


def _values(model: keras.Model) -> dict[str, Any]:
    """Return the weights of the model and of its layers' folded forms, by path."""
    values = {weight.path: weight.value for weight in model.weights}
    for layer in with_sublayers(model):
        # A layer without normalization is folded already, or has nothing to fold.
        folded = layer.fold() if isinstance(layer, Composite) and _has_norm(layer) else None
        if folded:
            values |= {f"{layer.path}/{name}": array for name, array in folded.items()}
    return values


def _has_norm(layer: Composite) -> bool:
    return any("norm/" in weight.path for weight in layer.weights)
