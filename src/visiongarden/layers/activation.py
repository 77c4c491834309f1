"""Activations by name, with the constants that vision papers mean by them."""

from __future__ import annotations

from typing import Any

import keras

NEGATIVE_SLOPE = 0.1
"""Slope of Darknet's leaky ReLU (YOLOv2 paper onwards); Keras's own default is 0.2."""


def activation(name: str | None, /, **kwargs: Any) -> keras.Layer:
    """A layer for an activation's name.

    Args:
        name: any name that Keras knows ("silu", "relu", "mish", "linear" ...); "leaky_relu" has
            Darknet's slope of 0.1. None means "linear".
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: Keras does not know the name.
    """
    if name == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=NEGATIVE_SLOPE, **kwargs)
    return keras.layers.Activation(name or "linear", **kwargs)
