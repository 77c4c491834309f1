"""Activation layers by name, with the constants that computer-vision papers use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras

from visiongarden import plugins
from visiongarden.backends.activations import in_place_function, silu_in_training
from visiongarden.errors import UserError, nearest
from visiongarden.registry import register
from visiongarden.types import Tensor

NEGATIVE_SLOPE = 0.1
"""Negative slope of Darknet's leaky ReLU (from YOLOv2 onwards); the default of Keras is 0.2."""


@keras.saving.register_keras_serializable("visiongarden")
def mish(x: Tensor) -> Tensor:
    """Compute `x * tanh(softplus(x))` (Misra 2019, arXiv 1908.08681, equation 1).

    The quotient below is the same function. Written as in the paper, TensorFlow 2.21 fuses it with
    a preceding fused batch normalization into an operation that it does not implement, and fails.

    Args:
        x: float tensor of any shape.

    Returns:
        A tensor of the same shape and dtype.
    """
    # With e = exp(x): tanh(ln(1 + e)) = ((1 + e)**2 - 1) / ((1 + e)**2 + 1). The quotient is 1 in
    # float32 from x = 20 on, so that larger exponents need not be computed and cannot overflow.
    x = keras.ops.convert_to_tensor(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    # In float16 the square would overflow from x = 6 on.
    wide = keras.ops.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
    power = keras.ops.exp(keras.ops.minimum(wide, 20))
    square = power * (power + 2)
    return keras.ops.cast(wide * (square / (square + 2)), dtype)


@register
class Silu(keras.layers.Activation):
    """SiLU activation, `x * sigmoid(x)` (Elfwing et al. 2018), also known as Swish.

    In training on TensorFlow, the gradient is compiled by XLA into one pass over the feature map
    instead of six, which saves a twentieth of a detector's training step on a CPU. The values equal
    those of Keras up to rounding.

    Args:
        **kwargs: `name`, `dtype`, `trainable`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("silu", **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Apply the activation; the shape is unchanged."""
        faster = silu_in_training() if training else None
        if faster is None:
            return super().call(inputs)
        return faster(keras.ops.convert_to_tensor(inputs))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, without the activation's name, which is fixed."""
        config: dict[str, Any] = super().get_config()
        del config["activation"]
        return config


def in_place(layer: keras.Layer, x: Tensor) -> Tensor:
    """Apply an activation layer, overwriting its input where PyTorch runs inference.

    The caller must not use `x` afterwards. Overwriting saves the memory and the write of a second
    feature map. On other backends, in training and for activations that PyTorch cannot compute in
    place, the layer is called as usual.

    Args:
        layer: the activation layer.
        x: float tensor of any shape; the result has the same shape.
    """
    is_function = isinstance(layer, keras.layers.Activation)
    overwriting = in_place_function(layer.activation, x) if is_function else None
    return layer(x) if overwriting is None else overwriting(x)


def function_name(function: Callable[..., Any] | None) -> str:
    """Return the name of a layer's activation function: "linear", "silu", ..."""
    # A custom activation may be a callable object, which has no name.
    return getattr(function, "__name__", None) or str(function)


def activation(name: str | None, /, **kwargs: Any) -> keras.Layer:
    """Return an activation layer by name.

    Args:
        name: any activation name of Keras ("silu", "relu", "mish", "linear", ...), or the key
            `package>name` of a registered function. "leaky_relu" has Darknet's negative slope of
            0.1. None means "linear".
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        UserError: There is no such activation; the message lists the nearest names.

    Example:
        >>> act = vg.layers.activation("leaky_relu")
        >>> np.asarray(act(np.array([-10.0, 2.0], "float32"))).tolist()
        [-1.0, 2.0]
    """
    if name == "silu":
        return Silu(**kwargs)
    if name == "mish":
        return keras.layers.Activation(mish, **kwargs)
    if name == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=NEGATIVE_SLOPE, **kwargs)
    return keras.layers.Activation(_function(name or "linear"), **kwargs)


def _function(name: str) -> Any:
    """Return the name of an activation of Keras, or a registered function."""
    public = [
        known
        for known, value in vars(keras.activations).items()
        if inspect.isfunction(value) and known not in ("deserialize", "get", "serialize")
    ]
    if name in public:
        return name
    found = keras.saving.get_registered_object(name) or plugins.find("activation", name)
    if found is None:
        raise UserError(
            f"unknown activation {name!r}",
            rule="the name of an activation of Keras, or the key of a registered function",
            fix=nearest(name, public),
        )
    return found
