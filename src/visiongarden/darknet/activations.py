"""Darknet's activations by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from visiongarden.layers import activation as activation_layer
from visiongarden.registry import register

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
"""Those that Keras has, under its name."""


def _stair(x: Any) -> Any:
    whole = ops.floor(x)
    half = ops.floor(x / 2)
    return ops.where(ops.equal(whole, 2 * half), half, x - whole + half)


def _plse(x: Any) -> Any:
    return ops.where(x < -4, 0.01 * (x + 4), ops.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5))


def _normalized(x: Any) -> Any:
    positive = ops.relu(x)
    return positive / (ops.sum(positive, axis=-1, keepdims=True) + 1e-4)


def _softmax(x: Any, shift: Any) -> Any:
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
    """An activation of Darknet's that Keras lacks, or has with other constants.

    Args:
        function: Darknet's name of it, as "relie".
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, function: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, x: Any) -> Any:
        """Applies the function to each value; "normalize_..." to each cell's channels."""
        return _OWN[self.function](x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Same as the input's."""
        return tuple(input_shape)


def activation(function: str, **kwargs: Any) -> keras.Layer | None:
    """The layer for Darknet's name of an activation; None for "linear"."""
    if function == "linear":
        return None
    if function in _OWN:
        return DarknetActivation(function, **kwargs)
    return activation_layer(_KERAS[function], **kwargs)


def darknet_name(layer: keras.Layer) -> str | None:
    """Darknet's name for an activation layer; None where it has none."""
    if isinstance(layer, DarknetActivation):
        return layer.function
    if isinstance(layer, keras.layers.LeakyReLU):
        return "leaky" if abs(float(layer.negative_slope) - 0.1) < 1e-6 else None
    if isinstance(layer, keras.layers.ReLU):
        plain = not layer.negative_slope and not layer.threshold
        most = layer.max_value
        return {None: "relu", 6: "relu6"}.get(most) if plain else None
    if not isinstance(layer, keras.layers.Activation):
        return None
    name = getattr(layer.activation, "__name__", "")
    found = {ours: theirs for theirs, ours in _KERAS.items() if theirs != "revleaky"}
    return {"linear": "linear"}.get(name) or found.get(name)
