"""Source code of the layers that compute one operation of a graph."""

from __future__ import annotations

from collections.abc import Callable

import keras

from visiongarden.graphs import Op


class Unwritable(Exception):  # noqa: N818 (never leaves this package)
    """An operation cannot be written as a layer; the message names it."""


Layers = list[tuple[str, str]]
"""Attribute name and constructor call of each layer, in the order in which they run."""


def layer(op: Op, width: str) -> Layers:
    """Return the layers of an operation in the order in which they run.

    Args:
        op: The operation.
        width: Source code of its number of filters.

    Raises:
        Unwritable: No layer computes this operation.
    """
    if op.kind not in _WRITERS and op.source:
        if len(op.inputs) > 1:
            raise Unwritable(f"{op.kind} with several inputs ({op.name})")
        return [(f"{op.kind.lower()}_", op.source)]
    if op.kind not in _WRITERS:
        raise Unwritable(f"{op.kind} ({op.name})")
    return _WRITERS[op.kind](op, width)


def _square(op: Op, setting: str) -> int:
    values = op.get(setting)
    if values is None or len(values) != 2 or values[0] != values[1]:
        raise Unwritable(f"{op.kind} with {setting} {values}")
    return int(values[0])


def _convolution(op: Op, width: str) -> Layers:
    kernel, stride = _square(op, "kernel"), _square(op, "stride")
    groups = op.get("groups", 1)
    # `ConvNormAct` and `DepthwiseNormAct` pad half of an odd kernel, normalize, and have no bias;
    # only `ConvNormAct` is dilated, at stride 1.
    simple = op.get("pad") == "half" and kernel % 2
    if op.get("dilation"):
        simple = simple and op.kind == "conv" and stride == 1
    if not (simple and op.get("norm") == "batch" and not op.get("bias")):
        return _plain(op, width, kernel, stride, groups)
    arguments = [width] if op.kind == "conv" else []
    if kernel > 1 or op.kind == "depthwise":
        arguments.append(str(kernel))
    if stride > 1:
        arguments.append(f"strides={stride}")
    name = _activation_name(op)
    arguments.append(f"activation={_quoted(name)}")
    if groups > 1:
        arguments.append(f"groups={groups}")
    if op.get("dilation"):
        arguments.append(f"dilation={_square(op, 'dilation')}")
    kind = "ConvNormAct" if op.kind == "conv" else "DepthwiseNormAct"
    word = "conv" if op.kind == "conv" else "depthwise"
    # An activation with settings, such as a slope, becomes a separate layer.
    after = _activation(op) if op.get("act") and name is None else []
    return [(word, f"{kind}({', '.join(arguments)})"), *after]


def _plain(op: Op, width: str, kernel: int, stride: int, groups: int) -> Layers:
    """Return layers of Keras for a convolution that `ConvNormAct` cannot represent."""
    pad, layers = op.get("pad"), []
    if op.get("multiplier"):
        raise Unwritable(f"{op.kind} with a depth multiplier")
    if pad == "half" and stride == 1:
        padding = "same"
    elif pad == "half" and kernel == 1:
        padding = "valid"
    elif pad == "half" or isinstance(pad, tuple):
        sides = ((kernel // 2,) * 2,) * 2 if pad == "half" else _sides(pad)
        layers.append(("pad", f"keras.layers.ZeroPadding2D({sides})"))
        padding = "valid"
    elif pad in ("same", "valid"):
        padding = pad
    elif pad == 0:
        padding = "valid"
    else:
        raise Unwritable(f"{op.kind} with padding {pad}")
    kind = {"conv": "Conv2D", "depthwise": "DepthwiseConv2D", "transposed": "Conv2DTranspose"}
    arguments = [str(kernel)] if op.kind == "depthwise" else [width, str(kernel)]
    arguments += [f"strides={stride}"] if stride > 1 else []
    arguments.append(f'padding="{padding}"')
    arguments += [f"groups={groups}"] if groups > 1 else []
    arguments += [f"dilation_rate={_square(op, 'dilation')}"] if op.get("dilation") else []
    arguments += [] if op.get("bias") else ["use_bias=False"]
    layers.append(("conv", f"keras.layers.{kind[op.kind]}({', '.join(arguments)})"))
    return layers + _norm(op, width) + _activation(op)


def _sides(pad: tuple[object, ...]) -> object:
    if len(pad) == 4:  # ONNX: starts of both axes, then their ends
        return ((pad[0], pad[2]), (pad[1], pad[3]))
    return pad


def _norm(op: Op, width: str) -> Layers:
    if op.get("norm") is None:
        return []
    if op.get("norm") != "batch":
        raise Unwritable(f"{op.get('norm')} normalization")
    return [("norm", "keras.layers.BatchNormalization()")]


def _activation(op: Op) -> Layers:
    name = op.get("act")
    if not name:
        return []
    if op.get("slope") is not None:
        return [("act", f"keras.layers.LeakyReLU(negative_slope={op.get('slope')})")]
    if op.get("limit") is not None:
        return [("act", f"keras.layers.ReLU(max_value={op.get('limit')})")]
    _valid_activation(name)
    return [("act", f'activation("{name}")')]


def _activation_name(op: Op) -> str | None:
    """Return the activation for `ConvNormAct`; None without one or if it has settings."""
    name = op.get("act")
    if name is None or op.get("slope") is not None or op.get("limit") is not None:
        return None
    return _valid_activation(name)


def _valid_activation(name: str) -> str:
    try:
        keras.activations.get(name)
    except ValueError:
        raise Unwritable(f"activation {name}") from None
    return name


def _quoted(name: str | None) -> str:
    return "None" if name is None else f'"{name}"'


def _dense(op: Op, width: str) -> Layers:
    bias = "" if op.get("bias") else ", use_bias=False"
    return [("dense", f"keras.layers.Dense({width}{bias})"), *_norm(op, width), *_activation(op)]


def _add(op: Op, width: str) -> Layers:
    if op.get("cut") or op.get("weights"):
        raise Unwritable(f"addition of different shapes ({op.name})")
    return [("sum", "Sum()"), *_activation(op)]


def _pool(op: Op, width: str) -> Layers:
    kernel, stride, pad = _square(op, "kernel"), _square(op, "stride"), op.get("pad")
    name = "MaxPooling2D" if op.kind == "maxpool" else "AveragePooling2D"
    if pad == "half" and (stride == 1 or kernel <= stride):
        pad = "same"
    layers: Layers = []
    if pad == "half" and op.kind == "maxpool":
        # Padded on both sides, windows start one cell earlier than with "same", and zero padding in
        # a separate layer would exceed negative values.
        raise Unwritable(f"maxpool {kernel} / {stride} padded on both sides")
    if pad not in ("same", "valid"):
        raise Unwritable(f"{op.kind} with padding {pad}")
    layers.append(("pool", f'keras.layers.{name}({kernel}, strides={stride}, padding="{pad}")'))
    return layers


def _global(op: Op, width: str) -> Layers:
    name = "GlobalAveragePooling2D" if op.get("pool") == "average" else "GlobalMaxPooling2D"
    return [("pool", f"keras.layers.{name}({'' if op.get('flat') else 'keepdims=True'})")]


def _upsample(op: Op, width: str) -> Layers:
    arguments = str(_square(op, "stride"))
    mode = op.get("interpolation")
    if mode not in (None, "nearest", "bilinear", "linear"):
        raise Unwritable(f"upsampling with {mode} interpolation")
    arguments += "" if mode in (None, "nearest") else ', interpolation="bilinear"'
    return [("up", f"keras.layers.UpSampling2D({arguments})")]


_WRITERS: dict[str, Callable[[Op, str], Layers]] = {
    "conv": _convolution,
    "depthwise": _convolution,
    "transposed": lambda op, width: _plain(
        op, width, _square(op, "kernel"), _square(op, "stride"), 1
    ),
    "dense": _dense,
    "norm": lambda op, width: _norm(op, width) + _activation(op),
    "act": lambda op, width: _activation(op),
    "add": _add,
    "concat": lambda op, width: [("concat", "keras.layers.Concatenate()")],
    "multiply": lambda op, width: [("gate", "keras.layers.Multiply()"), *_activation(op)],
    "maxpool": _pool,
    "avgpool": _pool,
    "globalpool": _global,
    "upsample": _upsample,
}
