"""Boxes of a drawing: the layers of each part, their inputs and their sublayers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras

from visiongarden.backends.graph import node_of, replay, without_new_calls
from visiongarden.backends.sublayers import children
from visiongarden.graphs.keras_layers import describe
from visiongarden.inspect.counting import Count, count_of
from visiongarden.layers import Composite, ConvNormAct, DepthwiseNormAct
from visiongarden.layers.activations import function_name
from visiongarden.parts.target_inputs import WithTargets

JOINS = {"Concatenate": "concat", "Sum": "+", "Add": "+", "Multiply": "×", "UpSampling2D": "↑"}
"""Signs that a drawing shows instead of a box, for layers without weights."""


@dataclass(frozen=True)
class Box:
    """One layer, or several equal layers in sequence.

    Attributes:
        path: Path in the drawing; the paths of the layer's weights start with it.
        part: "backbone", "decoder", "head" or the name of the model.
        name: Name of the layer.
        kind: Class of the layer.
        words: Short description such as "3×3 / 2"; "" if the class name suffices.
        sign: Sign shown instead of a box, for joins and upsampling.
        inputs: Input shapes for one image.
        output: Output shape for one image.
        level: Level that the part outputs here, or "".
        count: Parameters and MACs of all repeats.
        reads: Paths of the boxes that it reads, or "image".
        repeats: Number of equal layers in sequence.
        inner: Boxes of its sublayers.
    """

    path: str
    part: str
    name: str
    kind: str
    words: str
    sign: str
    inputs: tuple[tuple[int | None, ...], ...]
    output: tuple[int | None, ...]
    level: str
    count: Count
    reads: tuple[str, ...]
    repeats: int = 1
    inner: tuple[Box, ...] = ()

    @property
    def holds(self) -> int:
        """Largest number of sublayers of one class with numbered names, such as `units_1`."""
        held: Counter[tuple[str, str]] = Counter()
        for each in self.inner:
            numbered = re.fullmatch(r"(.*?)_?\d+", each.name)
            if numbered and each.count.total:
                held[numbered[1], each.kind] += each.repeats
        return max(held.values(), default=1)


def boxes(parts: Iterable[keras.Model], inputs: Any, macs: Counter[int]) -> tuple[Box, ...]:
    """Return the boxes of a model's parts.

    Args:
        parts: Functional models in the order in which they run; each reads the levels of the one
            before it.
        inputs: Symbolic tensors of static shape for the first part.
        macs: MACs by `id(layer)`, as returned by `macs_by_layer`.
    """
    built: list[Box] = []
    levels: dict[str, str] = {}
    for part in parts:
        with without_new_calls(part):
            view = _View(part.name, part.name, macs)
            if isinstance(inputs, dict) and isinstance(part.input, dict):
                # A classifier's decoder takes the coarsest of the backbone's levels alone.
                inputs = {level: inputs[level] for level in part.input if level in inputs}
            if isinstance(part, WithTargets) and isinstance(inputs, dict):
                inputs = part.with_all_targets(inputs)
            tensors = keras.tree.flatten(inputs)
            for part_input, tensor in zip(part.inputs, tensors, strict=True):
                if tensor is None:  # a target, which predictions lack
                    continue
                name = node_of(part_input).operation.name
                single = not levels and len(tensors) == 1
                view.known[id(tensor)] = levels.get(name, "image" if single else name)
            # `replay` leaves one node per layer; calling the part would leave a single node for
            # all.
            outputs = replay(part, inputs)
            view.follow(keras.tree.flatten(outputs))
            view.name_levels(outputs)
        built += view.boxes
        levels, inputs = view.levels, outputs
    return tuple(built)


class _View:
    """Boxes of one part, or of the inside of one layer."""

    def __init__(self, part: str, prefix: str, macs: Counter[int]) -> None:
        self.part, self.prefix, self.macs = part, prefix, macs
        self.known: dict[int, str] = {}  # path of the box that outputs each tensor
        self.boxes: list[Box] = []
        self.levels: dict[str, str] = {}

    def follow(self, outputs: list[Any]) -> None:
        """Add the boxes of all layers that the outputs depend on, depth first."""
        stack = [(tensor, False) for tensor in reversed(outputs)]
        while stack:
            tensor, ready = stack.pop()
            if id(tensor) in self.known:
                continue
            node = node_of(tensor)
            if node is None:
                self.known[id(tensor)] = "constant"
                continue
            if ready:
                path = self._draw(node)
                self.known |= {id(each): path for each in node.output_tensors}
                continue
            stack.append((tensor, True))
            stack += [(each, False) for each in reversed(node.input_tensors)]

    def name_levels(self, outputs: Any) -> None:
        """Assign the levels of a part's outputs to the boxes that output them."""
        if not isinstance(outputs, dict):
            return
        names = {}
        for level, tensors in outputs.items():
            for tensor in keras.tree.flatten(tensors):
                self.levels[level] = self.known[id(tensor)]
                names[self.known[id(tensor)]] = level
        self.boxes = [replace(box, level=names.get(box.path, "")) for box in self.boxes]

    def _draw(self, node: Any) -> str:
        layer, reads = node.operation, [self.known[id(t)] for t in node.input_tensors]
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in node.input_tensors)
        output = tuple(node.output_tensors[0].shape[1:])
        if len(reads) == 1 and shapes[0] == output and _has_no_box(layer, node):
            return reads[0]
        if not isinstance(layer, keras.Layer) and len(reads) == 1:
            return reads[0]
        path = f"{self.prefix}/{layer.name}"
        kind = type(layer).__name__
        count = count_of(layer, self.macs) if isinstance(layer, keras.Layer) else Count(0, 0, 0)
        while any(box.path == path for box in self.boxes):  # a layer that is called several times
            path += "'"
            if count.total:
                # The box of the first call has the weights, and the operations of all calls.
                kind, count = f"{kind} (shared)", Count(0, 0, 0)
        inner = _inner(layer, node, path, self.part, self.macs)
        box = Box(
            path, self.part, layer.name, kind, _words(layer, node), JOINS.get(kind, ""), shapes,
            output, "", count, tuple(dict.fromkeys(reads)), 1, inner,
        )  # fmt: skip
        self.boxes.append(box)
        return path


def _has_no_box(layer: Any, node: Any) -> bool:
    """Return whether an operation gets no box: activations, dropout, and plain `keras.ops`."""
    if not isinstance(layer, keras.Layer) or "Dropout" in type(layer).__name__:
        return True
    if children(layer) or isinstance(layer, Composite):
        return False
    return describe(layer, node)[0] in ("act", "identity")


def _inner(layer: Any, node: Any, path: str, part: str, macs: Counter[int]) -> tuple[Box, ...]:
    """Return the boxes inside a layer made of layers; equal boxes in sequence become one."""
    if not isinstance(layer, Composite) or isinstance(layer, (ConvNormAct, DepthwiseNormAct)):
        return ()
    # Tensors without history, so that `follow` ends at the entry of the layer.
    symbolic = {id(t): keras.KerasTensor(t.shape, t.dtype) for t in node.input_tensors}
    args, kwargs = keras.tree.map_structure(
        lambda x: symbolic.get(id(x), x), (node.arguments.args, node.arguments.kwargs)
    )
    outputs = keras.tree.flatten(layer.call(*args, **kwargs))
    view = _View(part, path, macs)
    view.known = {id(tensor): "entry" for tensor in symbolic.values()}
    view.follow(outputs)
    return _folded(view.boxes)


def _folded(boxes: list[Box]) -> tuple[Box, ...]:
    """Merge equal boxes that read each other in sequence into one box with `repeats`."""
    folded: list[Box] = []
    merged_into: dict[str, str] = {}  # path of the first box for each merged one
    last = ""
    for box in boxes:
        reads = tuple(dict.fromkeys(merged_into.get(path, path) for path in box.reads))
        before = folded[-1] if folded else None
        if before is not None and box.reads == (last,) and _equal(before, box):
            size = before.repeats + 1
            # The repeats are separate layers with separate weights, so their counts add up.
            total = Count(
                *(a + b for a, b in zip(_numbers(before.count), _numbers(box.count), strict=True))
            )
            folded[-1] = replace(before, repeats=size, count=total)
            merged_into[box.path] = before.path
        else:
            folded.append(replace(box, reads=reads))
        last = box.path
    return tuple(folded)


def _numbers(count: Count) -> tuple[int, int, int]:
    return count.trainable, count.total, count.macs


def _equal(first: Box, other: Box) -> bool:
    single = tuple(number // first.repeats for number in _numbers(first.count))
    return (
        not first.sign
        and (first.kind, first.words, first.output) == (other.kind, other.words, other.output)
        and first.inputs == other.inputs
        and single == _numbers(other.count)
    )


def _words(layer: Any, node: Any) -> str:
    """Describe kernel, stride and activation of a convolution, or the window of a pooling layer."""
    act = ""
    if isinstance(layer, (ConvNormAct, DepthwiseNormAct)):
        if isinstance(layer.act, keras.layers.Activation):
            act = function_name(layer.act.activation)
        else:
            act = "leaky_relu" if isinstance(layer.act, keras.layers.LeakyReLU) else layer.act.name
        # The activation is a separate layer here; for plain Keras layers `describe` finds it.
        layer = layer.conv
    try:
        kind, fixed, _ = describe(layer, node)
    except (AttributeError, IndexError, TypeError):
        return ""
    settings = dict(fixed)
    if "kernel" not in settings:
        return ""
    words = "×".join(map(str, settings["kernel"]))
    stride = max(settings.get("stride", (1,)))
    words += f" / {stride}" if stride > 1 else ""
    words = f"depthwise {words}" if kind == "depthwise" else words
    act = act or settings.get("act", "")
    return f"{words} {act}" if act and act != "linear" else words


def every_box(boxes: Iterable[Box]) -> list[Box]:
    """Return all boxes, each followed by the boxes inside it."""
    result: list[Box] = []
    for box in boxes:
        result += [box, *every_box(box.inner)]
    return result
