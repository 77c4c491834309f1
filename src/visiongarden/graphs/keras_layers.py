"""Description of a single Keras layer or operation as kind, settings and width."""

from __future__ import annotations

from typing import Any

import keras

from visiongarden.graphs.op import Fixed, settings
from visiongarden.layers import Sum
from visiongarden.layers.activations import NEGATIVE_SLOPE, function_name
from visiongarden.layers.convolution import Convolution

Described = tuple[str, Fixed, int | None]

_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_CONV = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_POOLS = {"MaxPooling2D": "maxpool", "AveragePooling2D": "avgpool"}
_GLOBAL = {"GlobalAveragePooling2D": "average", "GlobalMaxPooling2D": "max"}
_NORMS = {
    "LayerNormalization": "layer",
    "GroupNormalization": "group",
    "RMSNormalization": "rms",
}
_ACTIVATIONS = {
    "ReLU": "relu", "Relu": "relu", "Relu6": "relu6", "Silu": "silu", "Sigmoid": "sigmoid",
    "Tanh": "tanh", "Softmax": "softmax", "Gelu": "gelu", "Mish": "mish", "ELU": "elu",
    "HardSwish": "hard_silu", "HardSilu": "hard_silu", "HardSigmoid": "hard_sigmoid",
    "Softplus": "softplus",
}  # fmt: skip
_OPERATIONS = {
    "Add": "add", "Sum": "add", "Multiply": "multiply", "Concatenate": "concat",
    "Subtract": "subtract", "Maximum": "maximum", "Flatten": "flatten", "Reshape": "reshape",
    "GetItem": "slice", "UpSampling2D": "upsample", "ZeroPadding2D": "pad", "Permute": "permute",
}  # fmt: skip
# Preprocessing is part of the input: networks of other tools expect preprocessed images.
_IDENTITY = frozenset({"Identity", "InputLayer", "Preprocess"})
_IGNORED = frozenset({"name", "trainable", "dtype", "batch_shape"})
_IGNORED_SUFFIXES = ("initializer", "regularizer", "constraint")


def describe(operation: Any, node: Any) -> Described:
    """Return kind, settings and width of a layer without sublayers, or of an operation.

    Args:
        operation: A Keras layer or operation.
        node: Node of the call in the functional graph.
    """
    name = type(operation).__name__
    if isinstance(operation, (*_DEPTHWISE, *_TRANSPOSED, *_CONV)):
        return _convolution(operation)
    if isinstance(operation, keras.layers.Dense):
        values = {"bias": True} if operation.use_bias else {}
        return "dense", settings(**values, **_act(operation.activation)), operation.units
    if isinstance(operation, keras.layers.BatchNormalization):
        return "norm", settings(norm="batch"), None
    if name in _NORMS:
        kind = _NORMS[name]
        return "norm", settings(norm=kind), None
    if name in _ACTIVATIONS or name in ("Activation", "LeakyReLU", "LeakyRelu"):
        return "act", settings(**_activation_layer(operation)), None
    if name in _POOLS:
        return _POOLS[name], _pool(operation), None
    if name in _GLOBAL:
        extra = {} if operation.keepdims else {"flat": True}
        return "globalpool", settings(pool=_GLOBAL[name], **extra), None
    if isinstance(operation, Sum) or name in _OPERATIONS:
        return _named_operation(operation, node)
    if name in _IDENTITY:
        return "identity", (), None
    return name, _other_settings(operation, node), None


def _convolution(layer: Any) -> Described:
    kernel, stride = tuple(layer.kernel_size), tuple(layer.strides)
    values: dict[str, Any] = {"kernel": kernel, "stride": stride}
    values["pad"] = layer.padding
    # "half" pads half of the kernel on both sides. At stride 1 "same" does that too (for odd
    # kernels); at larger strides it pads the end first, which gives another result.
    if layer.padding == "same" and set(stride) == {1}:
        values["pad"] = "half"
    if isinstance(layer, Convolution):
        half = layer.pad == layer.half
        values["pad"] = "half" if half else ((layer.pad, layer.pad),) * 2
    # A 1 × 1 kernel needs no padding, whatever the source calls it.
    if (
        set(kernel) == {1}
        and layer.padding == "valid"
        and not (isinstance(layer, Convolution) and layer.pad)
    ):
        values["pad"] = "half"
    if set(layer.dilation_rate) != {1}:
        values["dilation"] = tuple(layer.dilation_rate)
    if layer.use_bias:
        values["bias"] = True
    values |= _act(layer.activation)
    if isinstance(layer, _DEPTHWISE):
        extra = {} if layer.depth_multiplier == 1 else {"multiplier": layer.depth_multiplier}
        return "depthwise", settings(**values, **extra), None
    kind = "transposed" if isinstance(layer, _TRANSPOSED) else "conv"
    if kind == "conv" and layer.groups > 1:
        # One input channel and one filter per group: a depthwise convolution under another name.
        if layer.groups == layer.filters and layer.kernel.shape[-2] == 1:
            return "depthwise", settings(**values), None
        values["groups"] = layer.groups
    return kind, settings(**values), layer.filters


def _act(function: Any) -> dict[str, Any]:
    if isinstance(function, keras.Layer):
        return _activation_layer(function)
    name = function_name(function)
    return {} if function is None or name == "linear" else {"act": name}


def _activation_layer(layer: Any) -> dict[str, Any]:
    name = type(layer).__name__
    if name == "Activation":
        return _act(layer.activation) or {"act": "linear"}
    if name in ("LeakyReLU", "LeakyRelu"):
        slope = float(layer.negative_slope)
        return {"act": "leaky_relu"} | ({} if slope == NEGATIVE_SLOPE else {"slope": slope})
    if isinstance(layer, keras.layers.ReLU) and layer.max_value is not None:
        known = layer.max_value == 6 and not layer.negative_slope and not layer.threshold
        return {"act": "relu6"} if known else {"act": "relu", "limit": float(layer.max_value)}
    return {"act": _ACTIVATIONS[name]}


def _pool(layer: Any) -> Fixed:
    pad = "half" if layer.padding == "same" and max(layer.strides) == 1 else layer.padding
    return settings(kernel=tuple(layer.pool_size), stride=tuple(layer.strides), pad=pad)


def _named_operation(operation: Any, node: Any) -> Described:
    kind = _OPERATIONS[type(operation).__name__] if not isinstance(operation, Sum) else "add"
    if kind == "pad":
        return "pad", settings(sides=tuple(map(tuple, operation.padding))), None
    if kind == "upsample":
        values = {"stride": tuple(operation.size)}
        if operation.interpolation != "nearest":
            values["interpolation"] = operation.interpolation
        return kind, settings(**values), None
    if kind == "slice":
        return _slice(node)
    if kind in ("reshape", "permute"):
        return kind, _other_settings(operation, node), None
    return kind, (), None


def _slice(node: Any) -> Described:
    """Describe a slice of the channels by number and index of equal parts.

    Other slices keep their text.
    """
    key = node.arguments.args[1]
    channels = node.input_tensors[0].shape[-1]
    if isinstance(key, tuple) and len(key) > 1 and isinstance(key[-1], slice) and channels:
        start, stop, step = key[-1].indices(channels)
        others = all(item is Ellipsis or item == slice(None) for item in key[:-1])
        size = stop - start
        if others and step == 1 and size and channels % size == 0 and start % size == 0:
            return "slice", settings(parts=channels // size, part=start // size), None
    return "slice", settings(key=str(key)), None


def _other_settings(operation: Any, node: Any) -> Fixed:
    """Return the settings of a layer or operation without a standard kind, except its names."""
    config: dict[str, Any] = {}
    if isinstance(operation, keras.Layer):
        try:
            config = operation.get_config()
        except (NotImplementedError, TypeError, ValueError):
            config = {}
    else:
        arguments = [*node.arguments.args, *node.arguments.kwargs.items()]
        config = {str(i): a for i, a in enumerate(arguments) if not _holds_tensor(a)}
    kept = {
        key: str(value)
        for key, value in config.items()
        if key not in _IGNORED and not key.endswith(_IGNORED_SUFFIXES)
    }
    return settings(**kept)


def _holds_tensor(value: Any) -> bool:
    return any(isinstance(item, keras.KerasTensor) for item in keras.tree.flatten(value))
