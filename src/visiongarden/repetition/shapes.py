"""Input shape, output shape and number of parameters of each occurrence, for the generated test."""

from __future__ import annotations

from dataclasses import dataclass

from visiongarden.graphs import Op
from visiongarden.repetition.grammar import Rule, operations
from visiongarden.repetition.vary import Named

SIDE = 64
"""Height and width of the input of each case."""

Shape = tuple[int, int, int]
"""(height, width, channels)."""


@dataclass(frozen=True)
class Case:
    """Expected output shape and parameters of a block with the arguments of one occurrence.

    Attributes:
        name: Name of the block.
        arguments: Names and values of its arguments.
        input_shape: Input shape.
        output_shape: Output shape.
        parameters: Number of parameters, including moving statistics.
    """

    name: str
    arguments: tuple[tuple[str, int], ...]
    input_shape: Shape
    output_shape: Shape
    parameters: int


def cases(named: Named, rule: Rule) -> list[Case]:
    """Return the test cases of a block; occurrences with unknown channels are left out."""
    ops, result = named.grammar.graph.ops, []
    for instance in rule.instances:
        inside = list(operations(instance))
        # The first operation of a region reads the entry, the only input from outside.
        entry = ops[next(i for i in ops[inside[0]].inputs if i not in set(inside))]
        if entry.channels is None:
            continue
        input_shape = (SIDE, SIDE, entry.channels)
        output_shape = _output_shape(ops, inside, input_shape)
        if output_shape is None:
            continue
        parameters = sum(ops[i].parameters for i in inside)
        arguments = tuple(named.varying[rule.number].arguments[id(instance)].items())
        result.append(
            Case(named.names[rule.number], arguments, input_shape, output_shape, parameters)
        )
    return result


def _output_shape(ops: tuple[Op, ...], inside: list[int], input_shape: Shape) -> Shape | None:
    shapes: dict[int, Shape] = {}
    for i in inside:
        shape = _shape(ops[i], [shapes.get(j, input_shape) for j in ops[i].inputs])
        if shape is None:
            return None
        shapes[i] = shape
    return shapes[inside[-1]]


def _shape(op: Op, inputs: list[Shape]) -> Shape | None:
    height, width, channels = inputs[0]
    if op.source and op.keeps_sides and op.channels is not None:
        return height, width, op.channels
    if op.kind == "concat":
        return height, width, sum(shape[2] for shape in inputs)
    if op.kind == "multiply":
        return max(s[0] for s in inputs), max(s[1] for s in inputs), max(s[2] for s in inputs)
    if op.kind == "globalpool":
        return None if op.get("flat") else (1, 1, channels)
    if op.kind == "upsample":
        down, across = op.get("stride")
        return height * down, width * across, channels
    if op.kind == "slice":
        return None if op.get("parts") is None else (height, width, channels // op.get("parts"))
    if op.kind in ("conv", "depthwise", "maxpool", "avgpool"):
        channels = channels if op.width is None else op.width
        sides = [_side(op, axis, size) for axis, size in enumerate((height, width))]
        return None if None in sides else (sides[0] or 0, sides[1] or 0, channels)
    if op.kind == "dense":
        return height, width, op.width or 0
    if op.kind in ("add", "norm", "act"):
        return inputs[0]
    return None


def _side(op: Op, axis: int, size: int) -> int | None:
    kernel, stride, pad = op.get("kernel")[axis], op.get("stride")[axis], op.get("pad")
    if pad in ("half", "same"):
        # Rounded up, as padding to half of the kernel does for odd kernels.
        return -(-size // stride)
    extent = (kernel - 1) * op.get("dilation", (1, 1))[axis] + 1 if op.kind == "conv" else kernel
    if pad in ("valid", 0):
        return (size - extent) // stride + 1
    if isinstance(pad, tuple) and len(pad) == 4:
        return (size + pad[axis] + pad[axis + 2] - extent) // stride + 1
    if isinstance(pad, tuple) and len(pad) == 2:
        return (size + sum(pad[axis]) - extent) // stride + 1
    return None
