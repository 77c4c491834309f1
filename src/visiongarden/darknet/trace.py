"""Conversion of a Keras model to the text of a cfg and the variables of its weights file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from visiongarden.darknet.activations import darknet_name
from visiongarden.darknet.build import Slot
from visiongarden.darknet.cfg import parse_cfg
from visiongarden.darknet.flatten import Call, Flattened
from visiongarden.darknet.geometry import geometry
from visiongarden.data.preprocessing import Preprocessing
from visiongarden.errors import UserError
from visiongarden.heads.prediction import SplitAnchors
from visiongarden.layers import Convolution, Preprocess, Sum
from visiongarden.layers.activations import function_name
from visiongarden.models import Joined
from visiongarden.parts.roles import Anchored
from visiongarden.types import ImageSize


@dataclass
class _Section:
    """A section of the cfg to be written, with the Keras layers that its arrays come from."""

    kind: str
    options: dict[str, Any]
    layer: Any = None
    norm: Any = None


@dataclass
class Traced:
    """A model as a Darknet network.

    Attributes:
        text: Text of the cfg.
        slots: Variables of the arrays of the weights file, in the order of the file.
        norms: The batch normalization layers of the slots, whose epsilon may differ from Darknet's.
    """

    text: str
    slots: tuple[Slot, ...]
    norms: tuple[Any, ...]


def trace(model: keras.Model, image_size: ImageSize | None = None) -> Traced:
    """Convert a model to a Darknet network.

    Args:
        model: A `Detector` with an anchor-based head, or a functional model with one image input.
        image_size: (height, width) in pixels, required if the model leaves it open.

    Raises:
        UserError: If Darknet lacks a layer of the model, or the image size is not known.
    """
    size = _size(model, image_size)
    head = model.parts.head if isinstance(model, Joined) else None
    outputs = model.outputs
    if head is not None:
        if not isinstance(model.output, dict) or not isinstance(head, Anchored):
            raise UserError(
                f"head {head} cannot be exported to Darknet", rule="an anchor-based head"
            )
        # Coarse levels come first, as in Darknet's official cfgs.
        levels = sorted(model.output, key=lambda level: -int(level[1:]))
        outputs = [t for level in levels for t in keras.tree.flatten(model.output[level])]
    writer = _Writer(head)
    flattened = Flattened(model, outputs)
    writer.uses = Counter(number for call in flattened.calls for number in call.inputs)
    for call in flattened.calls:
        writer.write(call)
    text = _text(size, model.inputs[0].shape[-1], writer.sections)
    # The text is parsed again: this checks it, and yields the order of the arrays in the file.
    steps = geometry(parse_cfg(text))
    slots = tuple(
        s for step, own in zip(steps, writer.sections, strict=True) for s in _slots(step, own)
    )
    return Traced(text, slots, tuple(s.norm for s in writer.sections if s.norm is not None))


@dataclass
class _Writer:
    """Converts calls to sections.

    Attributes:
        head: Head of the detector, or None.
        sections: The sections so far.
        places: Index of the layer of the cfg whose output each tensor is; -1 for the image.
        padded: Input and padding of each tensor that a `ZeroPadding2D` layer returned. Darknet has
            no such layer; the padding becomes an option of the next convolution.
        uses: Number of calls that take each tensor.
    """

    head: Any
    sections: list[_Section] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=lambda: {0: -1})
    padded: dict[int, tuple[int, int]] = field(default_factory=dict)
    uses: Counter[int] = field(default_factory=Counter)

    def write(self, call: Call) -> None:
        """Append the section that corresponds to a call.

        Raises:
            UserError: If Darknet has no such layer.
        """
        for kinds, rule in _RULES:
            if isinstance(call.layer, kinds):
                rule(self, call)
                return
        if type(call.layer).__name__ == "GetItem":
            _slice(self, call)
            return
        raise _unsupported(call)

    def add(self, call: Call, kind: str, layer: Any = None, **options: Any) -> None:
        """Append a section whose output is the output of the call."""
        self.sections.append(_Section(kind, options, layer))
        self.places[call.outputs[0]] = len(self.sections) - 1

    def after(self, call: Call, value: int) -> None:
        """Append a [route] section unless tensor `value` is the output of the last section.

        Most of Darknet's layers take their input from the previous section.
        """
        if self.place_of(call, value) != len(self.sections) - 1:
            self.sections.append(_Section("route", {"layers": self.number_of(call, value)}))

    def place_of(self, call: Call, value: int) -> int:
        """Return the number of the section whose output is tensor `value`; -1 is the image.

        Raises:
            UserError: If the tensor is padded, which only convolutions can take.
        """
        if value in self.padded:
            raise _unsupported(call, "its input is padded, which only convolutions support")
        return self.places[value]

    def number_of(self, call: Call, value: int) -> int:
        """Return the number of the section whose output is tensor `value`.

        Raises:
            UserError: If the tensor is the image, which sections cannot name, because -1 is the
                previous section; or if it is padded.
        """
        place = self.place_of(call, value)
        if place < 0:
            raise UserError(
                f"{call.path} takes the image, but is not the first layer",
                rule="only the first layer of a Darknet network takes the image",
            )
        return place

    def section_of(self, value: int) -> _Section:
        """Return the section whose output is tensor `value`."""
        return self.sections[self.places[value]]

    def is_free(self, value: int, *kinds: str) -> bool:
        """Return whether a normalization or activation can join the section that outputs `value`.

        That section must be of one of the `kinds` and have no activation yet, and nothing else may
        use its output.
        """
        place = self.places[value]
        return (
            place >= 0
            and self.uses[value] == 1
            and self.sections[place].kind in kinds
            and self.sections[place].options.get("activation") == "linear"
        )


def _unsupported(call: Call, why: str = "") -> UserError:
    return UserError(
        f"{type(call.layer).__name__} {call.path} cannot be exported to Darknet"
        + (why and f": {why}"),
        rule="convolutions, batch normalization, activations, sums, concatenations, max and "
        "global average pooling, nearest-neighbor upsampling, dropout, dense layers, softmax; the "
        "head of an anchor-based detector",
    )


def _slice(writer: _Writer, call: Call) -> None:
    value = call.inputs[0]
    # The slices after `SplitAnchors` belong to the [yolo] section.
    if writer.places.get(value, -1) >= 0 and writer.section_of(value).kind == "yolo":
        writer.places[call.outputs[0]] = writer.place_of(call, value)
        return
    key, channels = call.arguments[-1], call.shapes[0][-1] or 0
    share = key[-1] if isinstance(key, tuple) and key[0] is Ellipsis and len(key) == 2 else None
    if not isinstance(share, slice) or len(call.shapes[0]) != 4 or not channels:
        raise _unsupported(call, "only equal groups of the channels can be sliced")
    first, end, step = share.indices(channels)
    count = end - first
    if step != 1 or count < 1 or channels % count or first % count:
        raise _unsupported(
            call, f"channels {first} to {end} of {channels} are not one of equal groups"
        )
    writer.add(
        call,
        "route",
        layers=writer.number_of(call, value),
        groups=channels // count,
        group_id=first // count,
    )


def _input(writer: _Writer, call: Call) -> None:
    writer.places[call.outputs[0]] = -1


def _pad(writer: _Writer, call: Call) -> None:
    sides = {n for pair in call.layer.padding for n in pair}
    if len(sides) != 1:
        raise _unsupported(call, "Darknet pads all sides equally")
    if call.inputs[0] in writer.padded:
        raise _unsupported(call, "its input is padded, which only convolutions support")
    writer.padded[call.outputs[0]] = (call.inputs[0], sides.pop())


def _convolution(writer: _Writer, call: Call) -> None:
    layer, value = call.layer, call.inputs[0]
    value, padding = writer.padded.get(value, (value, 0))
    (size, other), strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    if size != other or len(set(dilation)) > 1 or layer.data_format != "channels_last":
        raise _unsupported(call, "Darknet requires square kernels, and data_format='channels_last'")
    if isinstance(layer, Convolution):
        padding += layer.pad
    # Darknet pads both sides equally. "same" does so for stride 1 and odd kernels only.
    if layer.padding == "same":
        sides = call.shapes[0][1:3]
        if size % 2 == 0 or padding or (max(strides) > 1 and size > 1):
            raise _unsupported(
                call, f"it has padding 'same' with size {size}, strides {strides} and input {sides}"
            )
        padding = size // 2
    elif padding % dilation[0]:
        raise _unsupported(call, "its padding is not a multiple of the dilation rate")
    else:
        padding //= dilation[0]
    if function_name(layer.activation) != "linear":
        raise _unsupported(call, "it contains an activation; add that as a separate layer")
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    channels = call.shapes[0][3]
    filters = channels * layer.depth_multiplier if depthwise else layer.filters
    options = {"filters": filters, "size": size}
    options |= (
        {"stride": strides[0]}
        if strides[0] == strides[1]
        else {"stride_x": strides[1], "stride_y": strides[0]}
    )
    options |= {"pad": 1} if padding == size // 2 else {"padding": padding}
    groups = channels if depthwise else layer.groups
    options |= {"groups": groups} if groups and groups > 1 else {}
    options |= {"dilation": dilation[0]} if dilation[0] > 1 else {}
    writer.after(call, value)
    writer.add(call, "convolutional", layer, **options, activation="linear")


def _norm(writer: _Writer, call: Call) -> None:
    if not (call.layer.scale and call.layer.center):
        raise _unsupported(call, "it has no scale or no center")
    value = call.inputs[0]
    if writer.is_free(value, "convolutional"):
        section = writer.section_of(value)
        # In Darknet a convolution with batch normalization has no bias.
        if section.norm is None and not section.layer.use_bias:
            section.norm = call.layer
            section.options = {"batch_normalize": 1} | section.options
            writer.places[call.outputs[0]] = writer.place_of(call, value)
            return
    writer.after(call, value)
    writer.add(call, "batchnorm")
    writer.sections[-1].norm = call.layer


def _activation(writer: _Writer, call: Call) -> None:
    name, value = darknet_name(call.layer), call.inputs[0]
    plain = isinstance(call.layer, keras.layers.Activation)
    if plain and function_name(call.layer.activation) == "softmax":
        _softmax(writer, call)
    elif name is None:
        raise _unsupported(call)
    elif name == "linear":
        writer.places[call.outputs[0]] = writer.place_of(call, value)
    elif writer.is_free(value, "convolutional", "shortcut", "connected"):
        writer.section_of(value).options["activation"] = name
        writer.places[call.outputs[0]] = writer.place_of(call, value)
    else:
        writer.after(call, value)
        writer.add(call, "activation", activation=name)


def _preprocess(writer: _Writer, call: Call) -> None:
    preprocessing = call.layer.preprocessing
    # Darknet scales 8-bit images to 0 to 1 before its first layer.
    if not preprocessing.is_plain or preprocessing.dtype != "uint8":
        raise UserError(
            "the preprocessing of the model cannot be exported to Darknet",
            rule=f"{Preprocessing(channels=preprocessing.channels)}, as in Darknet",
            received=str(preprocessing),
            fix=f"preprocessing=vg.Preprocessing(channels={preprocessing.channels}), and train the "
            "model with it",
        )
    _same(writer, call)


def _sum(writer: _Writer, call: Call) -> None:
    if len(set(call.shapes)) > 1:
        raise _unsupported(call, "its inputs have different shapes")
    # [shortcut] adds the previous layer to those of `from`. Taking the most recent tensor as the
    # previous layer saves a [route] in most cases.
    values = sorted(call.inputs, key=lambda value: writer.number_of(call, value))
    writer.after(call, values[-1])
    others = ",".join(str(writer.number_of(call, value)) for value in values[:-1])
    writer.add(call, "shortcut", **{"from": others}, activation="linear")


def _concatenate(writer: _Writer, call: Call) -> None:
    if call.layer.axis not in (-1, 3):
        raise _unsupported(call, "it does not join channels")
    writer.add(call, "route", layers=",".join(str(writer.number_of(call, v)) for v in call.inputs))


def _upsample(writer: _Writer, call: Call) -> None:
    layer = call.layer
    if layer.interpolation != "nearest" or layer.size[0] != layer.size[1]:
        raise _unsupported(call, "only nearest-neighbor, with one factor for both sides")
    writer.after(call, call.inputs[0])
    writer.add(call, "upsample", stride=layer.size[0])


def _max_pool(writer: _Writer, call: Call) -> None:
    layer, sides = call.layer, call.shapes[0][1:3]
    (size, other), (stride, across) = layer.pool_size, layer.strides
    total = 0  # padding of both sides together, as [maxpool] expects it
    if layer.padding == "same":
        totals = {max((-(-n // stride) - 1) * stride + size - n, 0) for n in sides if n}
        total = totals.pop() if len(totals) == 1 and None not in sides else -1
    if size != other or stride != across or total < 0:
        raise _unsupported(
            call, "Darknet requires square windows, and known sides with equal padding"
        )
    writer.after(call, call.inputs[0])
    writer.add(call, "maxpool", size=size, stride=stride, padding=total)


def _mean(writer: _Writer, call: Call) -> None:
    writer.after(call, call.inputs[0])
    writer.add(call, "avgpool")


def _dropout(writer: _Writer, call: Call) -> None:
    writer.after(call, call.inputs[0])
    writer.add(call, "dropout", probability=call.layer.rate)


def _flat(writer: _Writer, call: Call) -> None:
    # Darknet flattens channels first. The orders agree only for maps of one cell.
    if set(call.shapes[0][1:-1]) - {1}:
        raise _unsupported(call, "Darknet flattens in another order; pool to one cell first")
    writer.places[call.outputs[0]] = writer.place_of(call, call.inputs[0])


def _same(writer: _Writer, call: Call) -> None:
    writer.places[call.outputs[0]] = writer.place_of(call, call.inputs[0])


def _dense(writer: _Writer, call: Call) -> None:
    if not call.layer.use_bias or len(call.shapes[0]) != 2:
        raise _unsupported(call, "it has no bias, or its input is not a vector")
    writer.after(call, call.inputs[0])
    name = function_name(call.layer.activation)
    writer.add(call, "connected", call.layer, output=call.layer.units, activation="linear")
    if name == "softmax":  # A [connected] section has no softmax; it is a separate section.
        writer.sections.append(_Section("softmax", {"groups": 1}))
        writer.places[call.outputs[0]] = len(writer.sections) - 1
    elif name != "linear":
        raise _unsupported(call, "it contains an activation; add that as a separate layer")


def _softmax(writer: _Writer, call: Call) -> None:
    writer.after(call, call.inputs[0])
    writer.add(call, "softmax", groups=1)


def _yolo(writer: _Writer, call: Call) -> None:
    head, level = writer.head, call.layer.name.partition("_")[0]
    if head is None or level not in head.anchors:
        raise _unsupported(call, "it is supported only in the head of a detector")
    # Every [yolo] section lists the anchors of all levels, smallest first; `mask` selects those of
    # its level.
    order = sorted(head.anchors, key=lambda name: int(name[1:]))
    first = sum(len(head.anchors[name]) for name in order[: order.index(level)])
    mask = range(first, first + len(head.anchors[level]))
    anchors = [pair for name in order for pair in head.anchors[name]]
    options = {
        "mask": ",".join(map(str, mask)),
        "anchors": ", ".join(f"{w:g},{h:g}" for w, h in anchors),
        "classes": head.num_classes,
        "num": len(anchors),
    }
    reach = head.scale_xy[level] if isinstance(head.scale_xy, dict) else head.scale_xy
    if reach != 1:
        options["scale_x_y"] = reach
    if head.size_encoding != "exponential":
        # With new_coords, [yolo] expects inputs to which the sigmoid has been applied.
        writer.after(call, call.inputs[0])
        writer.section_of(call.inputs[0]).options["activation"] = "logistic"
        options["new_coords"] = 1
    writer.after(call, call.inputs[0])
    writer.add(call, "yolo", **options)


_Rule = Callable[[_Writer, Call], None]
_L = keras.layers
_RULES: list[tuple[Any, _Rule]] = [
    (_L.InputLayer, _input),
    (_L.ZeroPadding2D, _pad),
    ((_L.Conv2D, _L.DepthwiseConv2D), _convolution),
    (_L.BatchNormalization, _norm),
    (_L.Softmax, _softmax),
    ((_L.Activation, _L.LeakyReLU, _L.ReLU), _activation),
    ((_L.Add, Sum), _sum),
    (_L.Concatenate, _concatenate),
    (_L.UpSampling2D, _upsample),
    (_L.MaxPooling2D, _max_pool),
    (_L.GlobalAveragePooling2D, _mean),
    (_L.Dropout, _dropout),
    ((_L.Flatten, _L.Reshape), _flat),
    (_L.Identity, _same),
    (Preprocess, _preprocess),
    (_L.Dense, _dense),
    (SplitAnchors, _yolo),
]


def _size(model: keras.Model, image_size: ImageSize | None) -> ImageSize:
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        raise UserError("the model cannot be exported to Darknet", rule="one image as the input")
    height, width = model.inputs[0].shape[1:3]
    size = image_size or (height, width)
    if None in size:
        raise UserError("the image size of the model is not known", fix="image_size=(416, 416)")
    return size


def _text(size: ImageSize, channels: int, sections: list[_Section]) -> str:
    net = {"batch": 1, "width": size[1], "height": size[0], "channels": channels}
    blocks = [_Section("net", net), *sections]
    return (
        "\n\n".join(
            "\n".join(
                [f"[{block.kind}]", *(f"{name}={value}" for name, value in block.options.items())]
            )
            for block in blocks
        )
        + "\n"
    )


def _slots(step: Any, section: _Section) -> list[Slot]:
    variables: dict[str, tuple[Any, tuple[int, ...], Any]] = {}
    layer, norm = section.layer, section.norm
    if norm is not None:
        names = ("biases", "scales", "rolling mean", "rolling variance")
        found = (norm.beta, norm.gamma, norm.moving_mean, norm.moving_variance)
        variables = {name: (v, (0,), None) for name, v in zip(names, found, strict=True)}
    elif layer is not None and layer.use_bias:
        variables["biases"] = (layer.bias, (0,), None)
    if isinstance(layer, keras.layers.Dense):
        variables["weights"] = (layer.kernel, (1, 0), None)
    elif isinstance(layer, keras.layers.DepthwiseConv2D):
        multiplier = layer.depth_multiplier
        view = (step.settings["filters"] // multiplier, multiplier, *step.arrays[-1].shape[2:])
        variables["weights"] = (layer.kernel, (2, 3, 0, 1), view)
    elif layer is not None:
        variables["weights"] = (layer.kernel, (2, 3, 1, 0), None)
    if set(variables) != {array.name for array in step.arrays}:
        raise UserError(
            f"layer {step.kind if layer is None else layer.name} has no bias",
            rule="a layer with a bias or batch normalization",
        )
    return [
        Slot(step, array, own[0], own[2] or array.shape, own[1])
        for array in step.arrays
        for own in [variables[array.name]]
    ]
