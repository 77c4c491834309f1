"""Reading of graphs from Darknet cfgs."""

from __future__ import annotations

from pathlib import Path

from visiongarden.darknet import Cfg, Section, parse_cfg
from visiongarden.graphs.op import Graph, Op, graph, settings

_ACTIVATIONS = {"leaky": "leaky_relu", "swish": "silu", "logistic": "sigmoid"}
_CONVOLUTIONS = {"convolutional": "conv", "deconvolutional": "transposed", "connected": "dense"}
_IDENTITY = frozenset({"dropout", "cost", "empty"})


def darknet_graph(path: str | Path) -> Graph:
    """Read the graph of a cfg; a `route` to a single layer is not an operation.

    Raises:
        ModelFileError: The cfg is invalid; the message contains the line.
    """
    cfg = parse_cfg(Path(path))
    return _Reader(cfg).graph()


class _Reader:
    def __init__(self, cfg: Cfg) -> None:
        self.cfg = cfg
        channels = cfg.net.integer("channels", 3, minimum=1)
        self.ops = [Op("input", (), name="image", place=cfg.net.line, channels=channels)]
        self.at: list[int] = []  # operation of each layer of the cfg
        # Output width relative to the image, as a cfg may leave the image size open.
        self.scale: list[float] = [1.0]

    def graph(self) -> Graph:
        outputs = []
        for section in self.cfg:
            before = self.at[-1] if self.at else 0
            if section.kind in ("yolo", "region", "detection", "Gaussian_yolo", "softmax"):
                outputs.append(self._add(section, section.kind, (before,)))
            elif section.kind in _IDENTITY:
                self.at.append(before)
            else:
                self._layer(section, before)
        used = {i for op in self.ops for i in op.inputs}
        ends = [i for i in dict.fromkeys(self.at) if i not in used]
        return graph(self.ops, ends or [self.at[-1]], self.cfg.file, "line")

    def _add(self, section: Section, kind: str, inputs: tuple[int, ...], **values: object) -> int:
        known = {"width", "channels", "parameters", "scale"}
        op = Op(
            kind,
            inputs,
            settings(**{key: value for key, value in values.items() if key not in known}),
            values.get("width"),  # type: ignore[arg-type]
            f"{section.kind} {section.index}",
            section.line,
            values.get("channels", self.ops[inputs[0]].channels),  # type: ignore[arg-type]
            values.get("parameters", 0),  # type: ignore[arg-type]
        )
        self.ops.append(op)
        self.scale.append(self.scale[inputs[0]] * float(values.get("scale", 1.0)))  # type: ignore[arg-type]
        self.at.append(len(self.ops) - 1)
        return self.at[-1]

    def _layer(self, section: Section, before: int) -> None:
        kind, act = section.kind, _activation(section)
        if kind in _CONVOLUTIONS:
            self._convolution(section, before)
        elif kind == "route":
            self._route(section)
        elif kind == "shortcut":
            others = [self._layer_at(section, "from", n) for n in section.integers("from")]
            # Darknet adds the common part of maps of different shapes, which `keras.layers.Add`
            # does not.
            shapes = {(self.ops[i].channels, self.scale[i]) for i in (before, *others)}
            weights = section.text("weights_type", "none")
            extra = {} if weights == "none" else {"weights": weights}
            self._add(section, "add", (before, *others), act=act, cut=len(shapes) > 1, **extra)
        elif kind in ("scale_channels", "sam"):
            other = self._layer_at(section, "from", section.integer("from", -1))
            larger = other if kind == "scale_channels" else before
            self._add(
                section, "multiply", (before, other), act=act, channels=self.ops[larger].channels
            )
        elif kind == "maxpool":
            stride = section.integer("stride", 1, minimum=1)
            size = section.integer("size", stride, minimum=1)
            kernel, strides = (size, size), (stride, stride)
            self._add(
                section, "maxpool", (before,), kernel=kernel, stride=strides, pad="half",
                scale=1 / stride,
            )  # fmt: skip
        elif kind == "avgpool":
            self._add(section, "globalpool", (before,), pool="average", scale=0.0)
        elif kind == "upsample":
            stride = section.integer("stride", 2, minimum=1)
            self._add(section, "upsample", (before,), stride=(stride, stride), scale=stride)
        elif kind == "batchnorm":
            channels = self.ops[before].channels or 0
            self._add(section, "norm", (before,), norm="batch", parameters=4 * channels)
        elif kind == "activation":
            self._add(section, "act", (before,), act=act or "linear")
        else:
            # An unknown section keeps its options, so that only sections with equal options are
            # equal.
            kept = {key: value for key, value in section.options.items() if key != "filters"}
            self._add(section, kind, (before,), **{f"_{key}": kept[key] for key in kept})

    def _convolution(self, section: Section, before: int) -> None:
        kind = _CONVOLUTIONS[section.kind]
        if kind == "dense":
            width = section.integer("output", 1, minimum=1)
            values: dict[str, object] = {"parameters": 0}
        else:
            size = section.integer("size", 1, minimum=1)
            across = section.integer("stride_x", section.integer("stride", 1, minimum=1), minimum=1)
            down = section.integer("stride_y", section.integer("stride", 1, minimum=1), minimum=1)
            width = section.integer("filters", 1, minimum=1)
            groups = section.integer("groups", 1, minimum=1)
            values = {"kernel": (size, size), "stride": (down, across), "scale": 1 / across}
            channels = self.ops[before].channels or 0
            weights = size * size * width * channels // groups
            dilation = section.integer("dilation", 1, minimum=1)
            padding = section.integer("padding", size // 2 if section.flag("pad") else 0)
            values |= {"dilation": (dilation, dilation)} if dilation > 1 else {}
            values["pad"] = "half" if padding == size // 2 else ((padding, padding),) * 2
            norm = section.flag("batch_normalize")
            values["parameters"] = weights + width * (4 if norm else 1)
            # As many groups as input and output channels: a depthwise convolution.
            if groups > 1 and groups == channels == width:
                kind = "depthwise"
            elif groups > 1:
                values["groups"] = groups
        if section.flag("batch_normalize"):
            values["norm"] = "batch"
        else:
            values["bias"] = True
        if act := _activation(section):
            values["act"] = act
        self._add(
            section, kind, (before,), channels=width,
            width=None if kind == "depthwise" else width, **values,
        )  # fmt: skip

    def _route(self, section: Section) -> None:
        layers = [self._layer_at(section, "layers", n) for n in section.integers("layers")]
        groups = section.integer("groups", 1, minimum=1)
        if not layers:
            raise section.error(None, "the route lists no layers", fix="add layers=-1")
        channels = sum(self.ops[i].channels or 0 for i in layers)
        if groups > 1:
            part = section.integer("group_id", 0, minimum=0)
            if len(layers) > 1:
                self._add(section, "concat", tuple(layers), channels=channels)
                # The cfg counts both as one layer, the slice.
                layers = [self.at.pop()]
            self._add(
                section,
                "slice",
                tuple(layers),
                parts=groups,
                part=part,
                channels=channels // groups,
            )
        elif len(layers) == 1:
            self.at.append(layers[0])
        else:
            self._add(section, "concat", tuple(layers), channels=channels)

    def _layer_at(self, section: Section, option: str, number: int) -> int:
        target = section.index + number if number < 0 else number
        if not 0 <= target < section.index:
            raise section.error(
                option,
                f"{option} does not refer to a layer before this one",
                rule=f"an index from 0 to {section.index - 1}, or a negative offset such as -1",
                fix=f"correct {option}",
            )
        return self.at[target]


def _activation(section: Section) -> str | None:
    default = "logistic" if section.kind in ("convolutional", "connected") else "linear"
    name = section.text("activation", default)
    return None if name == "linear" else _ACTIVATIONS.get(name, name)
