"""Geometry of a cfg: the inputs, output shape and stored arrays of every layer.

This module computes numbers only and does not use Keras. A cfg that describes too large a network,
or a weights file of the wrong length, is therefore rejected before any memory is allocated. The
rules follow Darknet's parser (public domain).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from visiongarden.darknet.cfg import Cfg
from visiongarden.darknet.options import check_options
from visiongarden.darknet.section import Section
from visiongarden.errors import ModelFileError

Shape = tuple[int, int, int]
"""(height, width, channels)."""

IMAGE = -1
"""Index of the image among the inputs of a layer."""

MAX_VALUES = 2**31
"""Maximum number of values of all weights, and of one layer's output: 8 GiB of float32."""

MAX_SIDE = 2**15
"""Maximum side of the input image in pixels."""

_ACTIVATIONS = (
    "elu gelu hard_mish hardswish hardtan leaky lhtan linear loggy logistic mish "
    "normalize_channels normalize_channels_softmax normalize_channels_softmax_maxval plse ramp "
    "relie relu relu6 revleaky selu stair swish tanh"
)
ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""Names of the supported activations."""

HEADS = ("yolo", "Gaussian_yolo", "region", "detection")
"""Section types that predict boxes."""


@dataclass(frozen=True)
class Array:
    """One array of a weights file.

    Attributes:
        name: Darknet's name of the array.
        shape: Shape in the axis order of the file.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Step:
    """One layer of a Darknet network.

    Attributes:
        section: Section of the cfg that defines the layer.
        inputs: Indices of the layers whose outputs it takes, the previous one first; `IMAGE` is the
            image.
        shape: (height, width, channels) of its output.
        arrays: Its arrays in the weights file, in order.
        settings: The validated options, under the names that `build_graph` uses.
    """

    section: Section
    inputs: tuple[int, ...]
    shape: Shape
    arrays: tuple[Array, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return the type of the section."""
        return self.section.kind

    @property
    def index(self) -> int:
        """Return the position among the layers, from 0."""
        return self.section.index


@dataclass
class _Walk:
    """The layers that have been processed so far."""

    image: Shape
    steps: list[Step] = field(default_factory=list)

    def shape_of(self, index: int) -> Shape:
        return self.image if index == IMAGE else self.steps[index].shape


def geometry(cfg: Cfg, image_size: tuple[int, int] | None = None) -> tuple[Step, ...]:
    """Compute inputs, output shape and arrays of every layer of a cfg.

    Args:
        cfg: The parsed cfg.
        image_size: (height, width) in pixels, which replaces the size in the cfg.

    Returns:
        One step per layer, in order.

    Raises:
        ModelFileError: If an option is invalid, a layer refers to a layer that does not exist,
            shapes do not fit together, or a section type or option is not supported. The message
            names the line and the layer.
    """
    for section in cfg:
        if section.kind not in _RULES:
            raise section.error(
                None,
                f"[{section.kind}] is not supported",
                rule="layers of detection and classification networks, without recurrent ones",
                fix=f"supported: {', '.join(sorted(_RULES))}",
            )
    for section in cfg.sections:
        check_options(section)
    walk = _Walk(image_shape(cfg, image_size))
    for section in cfg:
        for option in ("dontload", "dontloadscales", "xnor", "bin_output", "binary"):
            _reject(section, option)
        step = _RULES[section.kind](section, walk, section.index - 1)
        if math.prod(step.shape) > MAX_VALUES or min(step.shape) < 1:
            raise section.error(
                None,
                "the output's size is not valid",
                rule=f"sides of at least 1, and at most {MAX_VALUES:,} values",
                received=f"height, width, channels {step.shape}",
            )
        walk.steps.append(step)
    return tuple(walk.steps)


def values_of(steps: tuple[Step, ...]) -> int:
    """Return the number of values in the weights file of a network.

    Raises:
        ModelFileError: If there are more than `MAX_VALUES`.
    """
    total = sum(array.count for step in steps for array in step.arrays)
    if total > MAX_VALUES:
        raise ModelFileError(
            f"{steps[0].section.file} has too many weights",
            rule=f"at most {MAX_VALUES:,} values",
            received=f"{total:,}",
        )
    return total


def image_shape(cfg: Cfg, image_size: tuple[int, int] | None = None) -> Shape:
    """Return (height, width, channels) of the network's input.

    Raises:
        ModelFileError: If `[net]` specifies no size and `image_size` is None.
    """
    net = cfg.net
    sides = [net.integer(side, 0, minimum=1, maximum=MAX_SIDE) for side in ("height", "width")]
    if 0 in sides and image_size is None:
        raise net.error(
            None, "[net] does not specify height and width", fix="add width=416 and height=416"
        )
    height, width = image_size or sides
    return height, width, net.integer("channels", 3, minimum=1, maximum=4096)


def _reject(section: Section, option: str) -> None:
    if section.number(option, 0):
        raise section.error(
            option,
            f"{option} is not supported",
            fix=f"{option}=0, if the weights were trained without it",
        )


def _layer(section: Section, option: str, value: int) -> int:
    index = section.index + value if value < 0 else value
    if not 0 <= index < section.index:
        raise section.error(
            option,
            f"{option} does not refer to an earlier layer: {value} is layer {index}",
            rule=f"layers 0 to {section.index - 1}, or relative: -1 to {-section.index}"
            if section.index
            else "there is no earlier layer",
            fix=f"correct {option}",
        )
    return index


def _layers(section: Section, option: str) -> tuple[int, ...]:
    found = tuple(_layer(section, option, value) for value in section.integers(option))
    if not found:
        raise section.error(None, f"{option} is missing", fix=f"{option}=-1")
    return found


def _activation(section: Section, default: str) -> str:
    return section.choice("activation", default, ACTIVATIONS)


def _strides(section: Section, default: int = 1) -> tuple[int, int]:
    """Return the (vertical, horizontal) strides."""
    both = section.integer("stride", default, minimum=1, maximum=1024)
    return (
        section.integer("stride_y", both, minimum=1, maximum=1024),
        section.integer("stride_x", both, minimum=1, maximum=1024),
    )


def _convolutional(section: Section, walk: _Walk, above: int) -> Step:
    for option in ("flipped", "antialiasing", "sway", "rotate", "stretch", "stretch_sway"):
        _reject(section, option)
    for option in ("coordconv", "reverse", "dot"):
        _reject(section, option)
    height, width, channels = walk.shape_of(above)
    filters = section.integer("filters", 1, minimum=1)
    size = section.integer("size", 1, minimum=1, maximum=1024)
    groups = section.integer("groups", 1, minimum=1)
    strides = _strides(section)
    # As in Darknet's parser: a 1×1 kernel has no dilation, and `pad` overrides `padding`.
    dilation = section.integer("dilation", 1, minimum=1, maximum=1024) if size > 1 else 1
    padding = section.integer("padding", 0, minimum=0, maximum=1024)
    if section.flag("pad"):
        padding = size // 2
    if channels % groups or filters % groups:
        raise section.error(
            "groups",
            "groups does not divide the number of channels",
            rule=f"a divisor of {channels} input channels and of {filters} filters",
        )
    if dilation > 1 and 2 * padding != size - 1:
        raise section.error("dilation", "dilation requires an odd size and pad=1")
    norm = section.flag("batch_normalize") or section.flag("cbn")
    kernel = Array("weights", (filters, channels // groups, size, size))
    arrays = (*_vectors(filters, norm), kernel)
    shared = section.integer("share_index", 0) if "share_index" in section else None
    if shared is not None:
        # A layer that shares weights has no weights in the file.
        shared = _layer(section, "share_index", shared)
        if walk.steps[shared].arrays != arrays:
            raise section.error("share_index", f"layer {shared} has weights of different shapes")
        arrays = ()
    settings = {
        "filters": filters,
        "size": size,
        "strides": strides,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "norm": norm,
        "activation": _activation(section, "logistic"),
        "shared": shared,
    }
    sides = (
        (side + 2 * padding - size) // stride + 1
        for side, stride in zip((height, width), strides, strict=True)
    )
    return Step(section, (above,), (*sides, filters), arrays, settings)  # type: ignore[arg-type]


def _vectors(count: int, norm: bool) -> tuple[Array, ...]:
    names = ("biases", "scales", "rolling mean", "rolling variance") if norm else ("biases",)
    return tuple(Array(name, (count,)) for name in names)


def _connected(section: Section, walk: _Walk, above: int) -> Step:
    inputs = math.prod(walk.shape_of(above))
    outputs = section.integer("output", 1, minimum=1)
    norm = section.flag("batch_normalize")
    first, *rest = _vectors(outputs, norm)
    # Unlike those of a convolution, the weights come between biases and scales.
    arrays = (first, Array("weights", (outputs, inputs)), *rest)
    settings = {"norm": norm, "activation": _activation(section, "logistic")}
    return Step(section, (above,), (1, 1, outputs), arrays, settings)


def _local(section: Section, walk: _Walk, above: int) -> Step:
    height, width, channels = walk.shape_of(above)
    filters = section.integer("filters", 1, minimum=1)
    size = section.integer("size", 1, minimum=1, maximum=1024)
    stride = section.integer("stride", 1, minimum=1, maximum=1024)
    padding = int(section.flag("pad"))
    # Darknet computes the size of a padded map as if the kernel had one cell.
    reach = 1 if padding else size
    rows, columns = ((side - reach) // stride + 1 for side in (height, width))
    cells = max(rows, 0) * max(columns, 0)
    arrays = (
        Array("biases", (filters, rows, columns)),
        Array("weights", (cells, filters, channels, size, size)),
    )
    settings = {
        "filters": filters,
        "size": size,
        "stride": stride,
        "padding": padding,
        "activation": _activation(section, "logistic"),
    }
    return Step(section, (above,), (rows, columns, filters), arrays, settings)


def _batchnorm(section: Section, walk: _Walk, above: int) -> Step:
    shape = walk.shape_of(above)
    return Step(section, (above,), shape, _vectors(shape[2], norm=True))


def _pool(section: Section, walk: _Walk, above: int) -> Step:
    for option in ("maxpool_depth", "antialiasing", "maxpool_zero_nonmax"):
        _reject(section, option)
    height, width, channels = walk.shape_of(above)
    strides = _strides(section)
    size = section.integer("size", section.integer("stride", 1), minimum=1, maximum=1024)
    # `padding` of a pooling layer is the sum of both sides, unlike that of a convolution.
    padding = section.integer("padding", size - 1, minimum=0, maximum=2048)
    sides = [
        (side + padding - size) // stride + 1
        for side, stride in zip((height, width), strides, strict=True)
    ]
    settings = {"size": size, "strides": strides, "before": padding // 2}
    return Step(section, (above,), (sides[0], sides[1], channels), (), settings)


def _avgpool(section: Section, walk: _Walk, above: int) -> Step:
    return Step(section, (above,), (1, 1, walk.shape_of(above)[2]))


def _upsample(section: Section, walk: _Walk, above: int) -> Step:
    height, width, channels = walk.shape_of(above)
    stride = section.integer("stride", 2, minimum=1, maximum=1024)
    settings = {"stride": stride, "scale": section.number("scale", 1)}
    return Step(section, (above,), (height * stride, width * stride, channels), (), settings)


def _crop(section: Section, walk: _Walk, above: int) -> Step:
    height, width, channels = walk.shape_of(above)
    rows = section.integer("crop_height", 1, minimum=1, maximum=height)
    columns = section.integer("crop_width", 1, minimum=1, maximum=width)
    settings = {
        "top": (height - rows) // 2,
        "left": (width - columns) // 2,
        "noadjust": section.flag("noadjust"),
    }
    return Step(section, (above,), (rows, columns, channels), (), settings)


def _route(section: Section, walk: _Walk, above: int) -> Step:
    inputs = _layers(section, "layers")
    shapes = [walk.shape_of(index) for index in inputs]
    groups = section.integer("groups", 1, minimum=1)
    group = section.integer("group_id", 0, minimum=0, maximum=groups - 1)
    if len({shape[:2] for shape in shapes}) > 1:
        raise section.error(
            "layers",
            "the routed layers differ in height or width",
            rule="; ".join(
                f"layer {i} has {s[0]} × {s[1]}" for i, s in zip(inputs, shapes, strict=True)
            ),
        )
    if any(shape[2] % groups for shape in shapes):
        raise section.error(
            "groups", "groups does not divide the number of channels of every routed layer"
        )
    channels = sum(shape[2] // groups for shape in shapes)
    settings = {"groups": groups, "group": group}
    return Step(section, inputs, (*shapes[0][:2], channels), (), settings)


def _shortcut(section: Section, walk: _Walk, above: int) -> Step:
    others = _layers(section, "from")
    shape = walk.shape_of(above)
    for option in ("alpha", "beta"):
        if section.number(option, 1) != 1:
            raise section.error(option, f"{option} other than 1 is not supported")
    for other in others:
        rows, columns, _ = walk.shape_of(other)
        step = rows // shape[0]
        if (rows, columns) != (step * shape[0], step * shape[1]):
            raise section.error(
                "from",
                f"the size of layer {other} does not fit",
                rule=f"height and width {shape[0]} × {shape[1]}, or a multiple of them",
                received=f"{rows} × {columns}",
            )
    kinds = {"none": None, "per_feature": 1, "per_layer": 1, "per_channel": shape[2]}
    kind = kinds[section.choice("weights_type", "none", kinds)]
    names = {"none": "none", "relu": "relu", "avg_relu": "relu", "softmax": "softmax"}
    settings = {
        "weights": kind,
        "normalization": names[section.choice("weights_normalization", "none", names)],
        "activation": _activation(section, "linear"),
    }
    arrays = (Array("weights", (len(others) + 1, kind)),) if kind else ()
    return Step(section, (above, *others), shape, arrays, settings)


def _sam(section: Section, walk: _Walk, above: int) -> Step:
    (other,) = _layers(section, "from")[:1]
    shape = walk.shape_of(other)
    if walk.shape_of(above) != shape:
        raise section.error(
            "from",
            f"the size of layer {other} does not fit",
            rule=f"height, width, channels of the layer above, {walk.shape_of(above)}",
            received=f"{shape}",
        )
    return Step(section, (above, other), shape, (), {"activation": _activation(section, "linear")})


def _scale_channels(section: Section, walk: _Walk, above: int) -> Step:
    (other,) = _layers(section, "from")[:1]
    shape, factors = walk.shape_of(other), walk.shape_of(above)
    wanted = (*shape[:2], 1) if section.flag("scale_wh") else (1, 1, shape[2])
    if factors != wanted:
        raise section.error(
            "from",
            f"the size of the layer above does not fit layer {other}",
            rule=f"height, width, channels {wanted}",
            received=f"{factors}",
        )
    return Step(section, (above, other), shape, (), {"activation": _activation(section, "linear")})


def _reorg(section: Section, walk: _Walk, above: int) -> Step:
    for option in ("reverse", "extra", "flatten"):
        _reject(section, option)
    height, width, channels = walk.shape_of(above)
    stride = section.integer("stride", 1, minimum=1, maximum=64)
    old = section.kind == "reorg"  # [reorg3d] is the corrected operation.
    if height % stride or width % stride or (old and channels % stride**2):
        raise section.error(
            "stride",
            "stride does not divide the sides of the feature map",
            rule="height and width that are multiples of stride"
            + (", and channels of its square" if old else ""),
            received=f"height, width, channels {(height, width, channels)}",
        )
    shape = (height // stride, width // stride, channels * stride**2)
    return Step(section, (above,), shape, (), {"stride": stride, "old": old})


def _same(section: Section, walk: _Walk, above: int) -> Step:
    shape = walk.shape_of(above)
    settings: dict[str, Any] = {}
    if section.kind == "dropout":
        settings["rate"] = section.number("probability", 0.5, minimum=0, maximum=1)
    if section.kind == "activation":
        settings["activation"] = _activation(section, "linear")
    return Step(section, (above,), shape, (), settings)


def _softmax(section: Section, walk: _Walk, above: int) -> Step:
    if "tree" in section:
        raise section.error("tree", "a tree of classes is not supported")
    _reject(section, "spatial")
    count = math.prod(walk.shape_of(above))
    groups = section.integer("groups", 1, minimum=1)
    if count % groups:
        raise section.error("groups", f"groups does not divide the {count} inputs")
    temperature = section.number("temperature", 1, minimum=1e-6)
    settings = {"groups": groups, "temperature": temperature}
    return Step(section, (above,), (1, 1, count), (), settings)


def _anchors(section: Section, total: int) -> list[tuple[float, float]]:
    values = list(section.numbers("anchors", minimum=0))[: 2 * total]
    values += [0.5] * (2 * total - len(values))  # Darknet's default for missing anchors
    return list(zip(values[::2], values[1::2], strict=True))


def _yolo(section: Section, walk: _Walk, above: int) -> Step:
    shape = walk.shape_of(above)
    total = section.integer("num", 1, minimum=1, maximum=1024)
    classes = section.integer("classes", 20, minimum=1, maximum=100_000)
    # Some cfgs list more anchors than `num`, and refer to them in `mask`.
    listed = len(section.numbers("anchors")) // 2
    mask = section.integers("mask", minimum=0, maximum=max(total, listed) - 1) or tuple(
        range(total)
    )
    box_values = 9 if section.kind == "Gaussian_yolo" else 5
    if shape[2] != len(mask) * (classes + box_values):
        raise section.error(
            None,
            "the layer above has the wrong number of filters",
            rule=f"{len(mask)} anchors × ({classes} classes + {box_values}) = "
            f"{len(mask) * (classes + box_values)}",
            received=f"{shape[2]}",
            fix=f"filters={len(mask) * (classes + box_values)} in layer {above}",
        )
    point = section.choice("yolo_point", "center", ("center", "left_top", "right_bottom"))
    anchors = _anchors(section, max(total, *mask) + 1)
    settings = {
        "anchors": [anchors[i] for i in mask],
        "classes": classes,
        "scale_xy": section.number("scale_x_y", 1, minimum=0, maximum=100),
        "new_coords": section.flag("new_coords") and box_values == 5,
        "point": point,
        "nms_kind": section.text("nms_kind", "default"),
        "beta_nms": section.number("beta_nms", 0.6, minimum=0, maximum=100),
    }
    return Step(section, (above,), shape, (), settings)


def _region(section: Section, walk: _Walk, above: int) -> Step:
    if "tree" in section:
        raise section.error("tree", "a tree of classes is not supported")
    shape = walk.shape_of(above)
    count = section.integer("num", 1, minimum=1, maximum=1024)
    classes = section.integer("classes", 20, minimum=1, maximum=100_000)
    if section.integer("coords", 4) != 4:
        raise section.error("coords", "coords other than 4 is not supported")
    if shape[2] != count * (classes + 5):
        raise section.error(
            None,
            "the layer above has the wrong number of filters",
            rule=f"{count} anchors × ({classes} classes + 5) = {count * (classes + 5)}",
            received=f"{shape[2]}",
            fix=f"filters={count * (classes + 5)} in layer {above}",
        )
    settings = {
        "anchors": _anchors(section, count),
        "classes": classes,
        "softmax": section.flag("softmax"),
    }
    return Step(section, (above,), shape, (), settings)


def _detection(section: Section, walk: _Walk, above: int) -> Step:
    classes = section.integer("classes", 1, minimum=1, maximum=100_000)
    side = section.integer("side", 7, minimum=1, maximum=1024)
    count = section.integer("num", 1, minimum=1, maximum=1024)
    _reject(section, "softmax")
    if section.integer("coords", 1) != 4:
        raise section.error("coords", "coords other than 4 is not supported")
    expected, received = side * side * (5 * count + classes), math.prod(walk.shape_of(above))
    if expected != received:
        raise section.error(
            None,
            "the layer above has the wrong number of outputs",
            rule=f"{side} × {side} × (5 × {count} boxes + {classes} classes) = {expected}",
            received=f"{received}",
        )
    settings = {"classes": classes, "side": side, "count": count, "sqrt": section.flag("sqrt")}
    return Step(section, (above,), (1, 1, received), (), settings)


_Rule = Callable[[Section, _Walk, int], Step]

_RULES: dict[str, _Rule] = {
    "Gaussian_yolo": _yolo,
    "activation": _same,
    "avgpool": _avgpool,
    "batchnorm": _batchnorm,
    "connected": _connected,
    "contrastive": _same,  # a loss on embeddings, which is the identity at inference
    "convolutional": _convolutional,
    "cost": _same,
    "crop": _crop,
    "detection": _detection,
    "dropout": _same,
    "empty": _same,
    "local": _local,
    "local_avgpool": _pool,
    "maxpool": _pool,
    "region": _region,
    "reorg": _reorg,
    "reorg3d": _reorg,
    "route": _route,
    "sam": _sam,
    "scale_channels": _scale_channels,
    "shortcut": _shortcut,
    "softmax": _softmax,
    "upsample": _upsample,
    "yolo": _yolo,
}
