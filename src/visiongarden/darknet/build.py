"""Building a Keras graph from the steps of a cfg, with one function per section type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from visiongarden.darknet.activations import activation
from visiongarden.darknet.geometry import IMAGE, Array, Shape, Step
from visiongarden.darknet.layers import (
    ChannelGroup,
    Every,
    LocalConv,
    PaddedPool,
    Reorg,
    SharedConv,
    UnequalSum,
)
from visiongarden.darknet.outputs import (
    GaussianOutput,
    GroupSoftmax,
    RegionOutput,
    YoloOutput,
)
from visiongarden.types import Tensor

EPSILON = 1e-5
"""Constant that Darknet's batch normalization adds to the variance; OpenCV uses 1e-6."""

MOMENTUM = 0.9
"""Momentum of the moving statistics of batch normalization in Darknet."""

_INITIALIZER = "kernel_initializer"


@dataclass(frozen=True)
class Slot:
    """The variable of a model that holds an array of the weights file.

    Attributes:
        step: The layer that the array belongs to.
        array: Name and shape of the array in Darknet.
        variable: The variable that holds the array.
        view: Shape of the array before its axes are permuted. It differs from `array.shape` if an
            axis is split in two, as for depthwise kernels.
        axes: Permutation of the view's axes that yields the variable's axes.
    """

    step: Step
    array: Array
    variable: keras.Variable
    view: tuple[int, ...]
    axes: tuple[int, ...]


@dataclass
class Graph:
    """The tensors and weights of the layers that have been built so far.

    Attributes:
        image: The input tensor.
        empty: Whether to initialize kernels with zeros.
        epsilon: Constant that batch normalization adds to the variance.
        outputs: Output of each layer.
        slots: Variables of the arrays of the weights file, in the order of the file.
        convolutions: The convolution and batch normalization of each [convolutional] layer by
            index, for layers that share them.
    """

    image: Any
    empty: bool = False
    epsilon: float = EPSILON
    outputs: list[Any] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    convolutions: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def tensor(self, index: int) -> Any:
        """Return the output of layer `index`: (batch, h, w, c), or (batch, n) for a vector."""
        return self.image if index == IMAGE else self.outputs[index]

    def build(self, layer: Any, x: Tensor) -> Tensor:
        """Call a layer with a kernel for the first time, which builds it.

        The initializer is replaced during the call only, so that the layer's config is not changed.
        """
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        # Keras's names of the same argument differ.
        attribute = "depthwise_initializer" if depthwise else _INITIALIZER
        initializer = getattr(layer, attribute)
        if self.empty:
            setattr(layer, attribute, keras.initializers.Zeros())
        try:
            return layer(x)
        finally:
            setattr(layer, attribute, initializer)

    def slot(
        self, step: Step, name: str, variable: Any, axes: tuple[int, ...], view: Any = None
    ) -> None:
        """Record the variable that holds an array of a step.

        Args:
            step: The layer.
            name: Darknet's name of the array.
            variable: The variable that holds it.
            axes: Permutation of the view's axes that yields the variable's axes.
            view: Shape to which the array is reshaped first; by default its own shape.
        """
        array = next(array for array in step.arrays if array.name == name)
        self.slots.append(Slot(step, array, variable, view or array.shape, axes))


def build_graph(
    steps: tuple[Step, ...], image: Any, empty: bool = False, epsilon: float = EPSILON
) -> Graph:
    """Build the Keras layers of a Darknet network and call them on `image`.

    Args:
        steps: The layers of the network.
        image: Input tensor of shape (batch, height, width, channels).
        empty: Whether to initialize kernels with zeros. This saves the time to sample random values
            that the values of a weights file replace.
        epsilon: Constant that batch normalization adds to the variance.

    Returns:
        The outputs of all layers, and the variables of all arrays of the weights file.
    """
    graph = Graph(image, empty, epsilon)
    # Some Keras layers return (batch, n) where Darknet has a map of one cell. Such tensors are
    # reshaped to the map again before a layer that needs one.
    shapes = {IMAGE: tuple(image.shape[1:])} | {step.index: step.shape for step in steps}
    for step in steps:
        inputs = [graph.tensor(index) for index in step.inputs]
        if step.kind not in _VECTORS:
            inputs = [
                _map(x, shapes[i], f"{name_of(step, 'map')}{n or ''}")
                for n, (i, x) in enumerate(zip(step.inputs, inputs, strict=True))
            ]
        graph.outputs.append(_BUILD[step.kind](graph, step, *inputs))
    return graph


def name_of(step: Step, what: str | None = None) -> str:
    """Return the name of a Keras layer, such as `layer036_conv`.

    Args:
        step: Layer of the cfg.
        what: Suffix; by default the section type.
    """
    return f"layer{step.index:03}_{what or step.kind}"


def vector(x: Tensor, name: str) -> Tensor:
    """Flatten (batch, h, w, c) to (batch, c * h * w) in Darknet's order: channel, row, column.

    Args:
        x: A feature map, or a vector, which is returned unchanged.
        name: Prefix of the names of the layers that do it.
    """
    if len(x.shape) == 2:
        return x
    if tuple(x.shape[1:3]) != (1, 1):
        x = keras.layers.Permute((3, 1, 2), name=f"{name}_order")(x)
    return keras.layers.Flatten(name=f"{name}_flat")(x)


def _map(x: Tensor, shape: Shape, name: str) -> Tensor:
    return keras.layers.Reshape(shape, name=name)(x) if len(x.shape) == 2 else x


def _activated(step: Step, x: Tensor) -> Tensor:
    layer = activation(step.settings["activation"], name=name_of(step, "act"))
    return x if layer is None else layer(x)


def _normalized(graph: Graph, step: Step, x: Tensor) -> tuple[Tensor, Tensor]:
    norm = keras.layers.BatchNormalization(
        momentum=MOMENTUM, epsilon=graph.epsilon, name=name_of(step, "norm")
    )
    return norm, norm(x)


def _vector_slots(graph: Graph, step: Step, norm: Any, bias: Any) -> None:
    variables = {"biases": bias}
    if norm is not None:
        variables = {
            "biases": norm.beta,
            "scales": norm.gamma,
            "rolling mean": norm.moving_mean,
            "rolling variance": norm.moving_variance,
        }
    # The order of the slots is that of the file: biases, scales, means and variances come first,
    # then the kernel.
    for name, variable in variables.items():
        graph.slot(step, name, variable, (0,))


def _convolutional(graph: Graph, step: Step, x: Tensor) -> Tensor:
    s = step.settings
    if s["shared"] is not None:
        return _shared(graph, step, x)
    conv, depthwise = _convolution(step, x.shape[-1])
    x = graph.build(conv, _padded(step, x))
    if s["dilation"] > 1 and s["strides"] != (1, 1):
        x = Every(s["strides"], name=name_of(step, "every"))(x)
    norm = None
    if s["norm"]:
        norm, x = _normalized(graph, step, x)
    graph.convolutions[step.index] = (conv, norm)
    _vector_slots(graph, step, norm, conv.bias)
    # Darknet stores kernels as (filters, channels / groups, rows, columns).
    if depthwise:
        view = (s["groups"], s["filters"] // s["groups"], s["size"], s["size"])
        graph.slot(step, "weights", conv.kernel, (2, 3, 0, 1), view)
    else:
        graph.slot(step, "weights", conv.kernel, (2, 3, 1, 0))
    return _activated(step, x)


def _padded(step: Step, x: Tensor) -> Tensor:
    padding = step.settings["padding"]
    if padding and not _is_same(step):
        x = keras.layers.ZeroPadding2D(padding, name=name_of(step, "pad"))(x)
    return x


def _is_same(step: Step) -> bool:
    """Return whether Keras's "same" padding equals Darknet's.

    It does for stride 1, which is also the stride of a dilated convolution here (see `Every`). For
    larger strides, Keras may pad more at the bottom and right than at the top and left.
    """
    s = step.settings
    return 2 * s["padding"] == s["size"] - 1 and (s["strides"] == (1, 1) or s["dilation"] > 1)


def _convolution(step: Step, channels: int) -> tuple[Any, bool]:
    """Return the layer of a convolution, and whether it is a depthwise one.

    A convolution with one group per channel becomes a depthwise layer, for which every backend has
    a fast implementation.
    """
    s = step.settings
    common = {
        "strides": 1 if s["dilation"] > 1 else s["strides"],
        "padding": "same" if _is_same(step) else "valid",
        "dilation_rate": s["dilation"],
        "use_bias": not s["norm"],
        "name": name_of(step, "conv"),
    }
    if s["groups"] == channels > 1 and s["strides"][0] == s["strides"][1]:
        multiplier = s["filters"] // channels
        layer = keras.layers.DepthwiseConv2D(s["size"], depth_multiplier=multiplier, **common)
        return layer, True
    return keras.layers.Conv2D(s["filters"], s["size"], groups=s["groups"], **common), False


def _shared(graph: Graph, step: Step, x: Tensor) -> Tensor:
    s = step.settings
    conv, norm = graph.convolutions[s["shared"]]
    # The batch normalization of the other layer is shared as well.
    x = SharedConv(conv, s["dilation"], s["padding"], name=name_of(step, "conv"))(x)
    if s["strides"] != (1, 1):
        x = Every(s["strides"], name=name_of(step, "every"))(x)
    return _activated(step, x if norm is None else norm(x))


def _connected(graph: Graph, step: Step, x: Tensor) -> Tensor:
    x = vector(x, name_of(step))
    dense = keras.layers.Dense(
        step.shape[2], use_bias=not step.settings["norm"], name=name_of(step, "dense")
    )
    x, norm = graph.build(dense, x), None
    if step.settings["norm"]:
        norm, x = _normalized(graph, step, x)
    _vector_slots(graph, step, norm, dense.bias)
    graph.slot(step, "weights", dense.kernel, (1, 0))
    return _activated(step, x)


def _local(graph: Graph, step: Step, x: Tensor) -> Tensor:
    s = step.settings
    layer = LocalConv(s["filters"], s["size"], s["stride"], s["padding"], name=name_of(step))
    x = graph.build(layer, x)
    graph.slot(step, "biases", layer.bias, (1, 2, 0))
    graph.slot(step, "weights", layer.kernel, (0, 3, 4, 2, 1))
    return _activated(step, x)


def _batchnorm(graph: Graph, step: Step, x: Tensor) -> Tensor:
    norm, x = _normalized(graph, step, x)
    _vector_slots(graph, step, norm, None)
    return x


def _pool(graph: Graph, step: Step, x: Tensor) -> Tensor:
    s = step.settings
    size, strides, before = s["size"], s["strides"], s["before"]
    pads = []
    # Only as much padding as the windows reach. Often it is zero, or that of "same", so that one
    # of Keras's pooling layers can be used.
    for side, after, stride in zip(x.shape[1:3], step.shape[:2], strides, strict=True):
        pads.append((before, max((after - 1) * stride + size - side - before, 0)))
    mean, name = step.kind == "local_avgpool", name_of(step)
    plain = keras.layers.AveragePooling2D if mean else keras.layers.MaxPooling2D
    if pads == [(0, 0), (0, 0)]:
        return plain(size, strides, "valid", name=name)(x)
    same = [_same_pads(n, stride, size) for n, stride in zip(x.shape[1:3], strides, strict=True)]
    if not mean and pads == same:
        return plain(size, strides, "same", name=name)(x)
    return PaddedPool(size, strides, (pads[0], pads[1]), mean, name=name)(x)


def _same_pads(side: int, stride: int, size: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + size - side, 0)
    return total // 2, total - total // 2


def _avgpool(graph: Graph, step: Step, x: Tensor) -> Tensor:
    return keras.layers.GlobalAveragePooling2D(keepdims=True, name=name_of(step))(x)


def _upsample(graph: Graph, step: Step, x: Tensor) -> Tensor:
    s = step.settings
    x = keras.layers.UpSampling2D(s["stride"], name=name_of(step))(x)
    return (
        x if s["scale"] == 1 else keras.layers.Rescaling(s["scale"], name=name_of(step, "scale"))(x)
    )


def _crop(graph: Graph, step: Step, x: Tensor) -> Tensor:
    top, left = step.settings["top"], step.settings["left"]
    rows, columns = x.shape[1] - step.shape[0] - top, x.shape[2] - step.shape[1] - left
    x = keras.layers.Cropping2D(((top, rows), (left, columns)), name=name_of(step))(x)
    if step.settings["noadjust"]:
        return x
    # By default Darknet's [crop] also scales images from the range 0..1 to -1..1.
    return keras.layers.Rescaling(2.0, -1.0, name=name_of(step, "scale"))(x)


def _route(graph: Graph, step: Step, *maps: Any) -> Any:
    s = step.settings
    if s["groups"] > 1:
        maps = tuple(
            ChannelGroup(s["groups"], s["group"], name=f"{name_of(step, 'group')}{n or ''}")(x)
            for n, x in enumerate(maps)
        )
    return maps[0] if len(maps) == 1 else keras.layers.Concatenate(name=name_of(step))(list(maps))


def _shortcut(graph: Graph, step: Step, *maps: Any) -> Any:
    s, name = step.settings, name_of(step)
    if not s["weights"] and len({tuple(x.shape) for x in maps}) == 1:
        return _activated(step, keras.layers.Add(name=name)(list(maps)))
    layer = UnequalSum(s["weights"], s["normalization"], name=name)
    x = layer(list(maps))
    if s["weights"]:
        graph.slot(step, "weights", layer.factors, (0, 1))
    return _activated(step, x)


def _product(graph: Graph, step: Step, x: Tensor, other: Tensor) -> Tensor:
    return _activated(step, keras.layers.Multiply(name=name_of(step))([x, other]))


def _reorg(graph: Graph, step: Step, x: Tensor) -> Tensor:
    return Reorg(step.settings["stride"], step.settings["old"], name=name_of(step))(x)


def _same(graph: Graph, step: Step, x: Tensor) -> Tensor:
    return x


def _activation(graph: Graph, step: Step, x: Tensor) -> Tensor:
    return _activated(step, x)


def _dropout(graph: Graph, step: Step, x: Tensor) -> Tensor:
    rate = min(step.settings["rate"], 1 - 1e-6)  # Darknet allows 1, Keras does not.
    return keras.layers.Dropout(rate, name=name_of(step))(x) if rate else x


def _softmax(graph: Graph, step: Step, x: Tensor) -> Tensor:
    s = step.settings
    layer = GroupSoftmax(s["groups"], s["temperature"], name=name_of(step))
    return layer(vector(x, name_of(step)))


def _yolo(graph: Graph, step: Step, x: Tensor) -> Tensor:
    s = step.settings
    layer = YoloOutput(len(s["anchors"]), s["scale_xy"], s["new_coords"], name=name_of(step))
    return layer(x)


def _gaussian(graph: Graph, step: Step, x: Tensor) -> Tensor:
    return GaussianOutput(
        len(step.settings["anchors"]), step.settings["scale_xy"], name=name_of(step)
    )(x)


def _region(graph: Graph, step: Step, x: Tensor) -> Tensor:
    s = step.settings
    return RegionOutput(len(s["anchors"]), s["softmax"], name=name_of(step))(x)


def _detection(graph: Graph, step: Step, x: Tensor) -> Tensor:
    return keras.layers.Identity(name=name_of(step))(vector(x, name_of(step)))


_VECTORS = {"connected", "softmax", "detection", "cost", "dropout", "empty", "activation"}
"""Section types that accept a vector as their input."""

_BUILD: dict[str, Callable[..., Any]] = {
    "Gaussian_yolo": _gaussian,
    "activation": _activation,
    "avgpool": _avgpool,
    "batchnorm": _batchnorm,
    "connected": _connected,
    "contrastive": _same,
    "convolutional": _convolutional,
    "cost": _same,
    "crop": _crop,
    "detection": _detection,
    "dropout": _dropout,
    "empty": _same,
    "local": _local,
    "local_avgpool": _pool,
    "maxpool": _pool,
    "region": _region,
    "reorg": _reorg,
    "reorg3d": _reorg,
    "route": _route,
    "sam": _product,
    "scale_channels": _product,
    "shortcut": _shortcut,
    "softmax": _softmax,
    "upsample": _upsample,
    "yolo": _yolo,
}
