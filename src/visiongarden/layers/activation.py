"""Activations by name, with the constants that vision papers mean by them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras

from visiongarden.registry import register

NEGATIVE_SLOPE = 0.1
"""Slope of Darknet's leaky ReLU (YOLOv2 paper onwards); Keras's own default is 0.2."""


@keras.saving.register_keras_serializable("visiongarden")
def mish(x: Any) -> Any:
    """x * tanh(softplus(x)): Misra 2019 (arXiv 1908.08681), equation 1, as a quotient.

    Keras writes it as in the paper; TensorFlow (2.21) fuses that with a fused batch normalisation
    before it into an operation that it does not have, and fails.
    """
    # tanh(ln(1 + e)) = ((1 + e)**2 - 1) / ((1 + e)**2 + 1), e the exponential; 1 from x = 20 on.
    x = keras.ops.convert_to_tensor(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    # The square leaves float16 from x = 6 on.
    wide = keras.ops.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
    power = keras.ops.exp(keras.ops.minimum(wide, 20))
    square = power * (power + 2)
    return keras.ops.cast(wide * (square / (square + 2)), dtype)


@register
class Silu(keras.layers.Activation):
    """x * sigmoid(x): Elfwing et al. 2018; also known as Swish.

    TensorFlow's gradient takes six passes over the feature map; here it is compiled to one, which
    is a twentieth of a detector's training step on a CPU. The numbers are Keras's to rounding.

    Args:
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("silu", **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The same shape."""
        if training and keras.backend.backend() == "tensorflow":
            return _tensorflow_silu()(keras.ops.convert_to_tensor(inputs))
        return super().call(inputs)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        config: dict[str, Any] = super().get_config()
        del config["activation"]
        return config


@cache
def _tensorflow_silu() -> Callable[[Any], Any]:
    import tensorflow as tf

    @tf.function(jit_compile=True, reduce_retracing=True, autograph=False)
    def gradient(x: Any, above: Any) -> Any:
        share = tf.sigmoid(x)
        return above * (share * (1 + x * (1 - share)))

    @tf.custom_gradient
    def silu(x: Any) -> Any:
        return tf.nn.silu(x), lambda above: gradient(x, above)

    found: Callable[[Any], Any] = silu
    return found


def in_place(layer: keras.Layer, x: Any) -> Any:
    """What an activation's layer makes of a tensor that nobody else sees, in the tensor's memory.

    PyTorch's inference alone gains by it; everywhere else, and in training, the layer is called.
    """
    if keras.backend.backend() != "torch" or isinstance(x, keras.KerasTensor):
        return layer(x)
    import torch

    known = {keras.activations.silu: "silu", keras.activations.relu: "relu"}
    name = known.get(getattr(layer, "activation", None))
    if name is None or torch.is_grad_enabled() or x.device.type == "meta":
        return layer(x)
    return getattr(torch.nn.functional, name)(x, inplace=True)


def activation(name: str | None, /, **kwargs: Any) -> keras.Layer:
    """A layer for an activation's name.

    Args:
        name: any name that Keras knows ("silu", "relu", "mish", "linear" ...); "leaky_relu" has
            Darknet's slope of 0.1. None means "linear".
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: Keras does not know the name.
    """
    if name == "silu":
        return Silu(**kwargs)
    if name == "mish":
        return keras.layers.Activation(mish, **kwargs)
    if name == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=NEGATIVE_SLOPE, **kwargs)
    return keras.layers.Activation(name or "linear", **kwargs)
