"""Darknet's activation functions: their layers, and the names of layers in Darknet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from visiongarden.layers import activation as activation_layer
from visiongarden.layers.activations import function_name
from visiongarden.registry import register
from visiongarden.types import Tensor

_KERAS = {
    "elu": "elu",
    "hardswish": "hard_swish",  # not in Darknet itself, but in forks of it
    "leaky": "leaky_relu",
    "logistic": "sigmoid",
    "mish": "mish",
    "relu": "relu",
    "relu6": "relu6",
    "revleaky": "leaky_relu",
    "swish": "silu",
    "tanh": "tanh",
}
"""Keras names of the activation functions that Keras has, by Darknet's names."""


# The constants below, such as 0.797885 in "gelu", are rounded as in Darknet's activations.h: other
# digits would change the outputs of networks that were trained with them.
def _stair(x: Tensor) -> Tensor:
    whole = ops.floor(x)
    half = ops.floor(x / 2)
    return ops.where(ops.equal(whole, 2 * half), half, x - whole + half)


def _plse(x: Tensor) -> Tensor:
    return ops.where(x < -4, 0.01 * (x + 4), ops.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5))


def _normalized(x: Tensor) -> Tensor:
    positive = ops.relu(x)
    return positive / (ops.sum(positive, axis=-1, keepdims=True) + 1e-4)


def _softmax(x: Tensor, shift: Tensor | float) -> Tensor:
    powers = ops.exp(x - shift)
    return powers / (ops.sum(powers, axis=-1, keepdims=True) + 1e-4)


_OWN: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda x: 0.5 * x * (1 + ops.tanh(0.797885 * x + 0.035677 * x * x * x)),
    "hard_mish": lambda x: ops.where(x > 0, x, ops.where(x > -2, x * x / 2 + x, 0 * x)),
    "hardtan": lambda x: ops.clip(x, -1, 1),
    "lhtan": lambda x: ops.where(x < 0, 0.001 * x, ops.where(x > 1, 0.001 * (x - 1) + 1, x)),
    "loggy": lambda x: 2 * ops.sigmoid(x) - 1,
    "normalize_channels": _normalized,
    "normalize_channels_softmax": lambda x: _softmax(x, 0),
    "normalize_channels_softmax_maxval": lambda x: _softmax(x, ops.max(x, -1, keepdims=True)),
    "plse": _plse,
    "ramp": lambda x: ops.relu(x) + 0.1 * x,
    "relie": lambda x: ops.where(x > 0, x, 0.01 * x),
    "selu": lambda x: 1.0507 * ops.where(x >= 0, x, 1.6732 * (ops.exp(ops.minimum(x, 0)) - 1)),
    "stair": _stair,
}


@register
class DarknetActivation(keras.layers.Layer):
    """Activation of Darknet that Keras lacks, or implements with other constants.

    Args:
        function: Darknet's name of the activation, such as "relie".
        **kwargs: `name`, `dtype` and `trainable` of the layer.
    """

    def __init__(self, function: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, x: Tensor) -> Tensor:
        """Apply the function to each value, or for "normalize_..." to the channels of each cell."""
        return _OWN[self.function](x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return tuple(input_shape)


def activation(function: str, **kwargs: Any) -> keras.Layer | None:
    """Create the layer for an activation of Darknet.

    Args:
        function: Darknet's name of the activation.
        **kwargs: `name`, `dtype` and `trainable` of the layer.

    Returns:
        The layer, or None for "linear".
    """
    if function == "linear":
        return None
    if function in _OWN:
        return DarknetActivation(function, **kwargs)
    return activation_layer(_KERAS[function], **kwargs)


def darknet_name(layer: keras.Layer) -> str | None:
    """Return Darknet's name for an activation layer, or None if Darknet lacks the activation."""
    if isinstance(layer, DarknetActivation):
        return layer.function
    if isinstance(layer, keras.layers.LeakyReLU):
        # The negative slope of "leaky" is fixed in Darknet.
        return "leaky" if abs(float(layer.negative_slope) - 0.1) < 1e-6 else None
    if isinstance(layer, keras.layers.ReLU):
        plain = not layer.negative_slope and not layer.threshold
        max_value = layer.max_value
        return {None: "relu", 6: "relu6"}.get(max_value) if plain else None
    if not isinstance(layer, keras.layers.Activation):
        return None
    name = function_name(layer.activation)
    # "revleaky" is the same function as "leaky" in the forward pass.
    names = {keras_name: each for each, keras_name in _KERAS.items() if each != "revleaky"}
    return {"linear": "linear"}.get(name) or names.get(name)
