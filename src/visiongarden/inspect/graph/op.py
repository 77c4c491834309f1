"""The common form of every source: a flat graph of operations in a canonical order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

Fixed = tuple[tuple[str, Any], ...]
TAKES_NORM = frozenset({"conv", "depthwise", "transposed", "dense"})
TAKES_ACT = TAKES_NORM | {"norm", "add", "multiply"}


@dataclass(frozen=True)
class Op:
    """One operation; a convolution with its normalisation and activation is one.

    Attributes:
        kind: "conv", "depthwise", "dense", "norm", "act", "add", "concat", "maxpool", ...; what has
            no word here keeps its source's.
        inputs: positions of the operations that it reads.
        fixed: settings that two equal operations share (kernel, stride, activation ...).
        width: filters of a convolution or units of a dense layer: what equal operations may differ
            in.
        name: a layer's path, an ONNX node's name, a cfg's layer.
        place: the line of a cfg, else the position in the source.
        channels: of the output, where they are known.
        parameters: number of weights, moving statistics among them.
        module: where a layer that has no word here is imported from, if that is known.
        source: the call that makes such a layer.
        keeps_sides: whether its output is known to be as high and wide as its input.
    """

    kind: str
    inputs: tuple[int, ...]
    fixed: Fixed = ()
    width: int | None = None
    name: str = ""
    place: int = 0
    channels: int | None = None
    parameters: int = 0
    module: str = ""
    source: str = ""
    keeps_sides: bool = False

    def get(self, setting: str, default: Any = None) -> Any:
        """A fixed setting."""
        return dict(self.fixed).get(setting, default)

    def setting(self, **changes: Any) -> Op:
        """The same operation with settings added or changed."""
        return replace(self, fixed=settings(**(dict(self.fixed) | changes)))


@dataclass(frozen=True)
class Graph:
    """Operations of which each reads only earlier ones.

    Attributes:
        ops: in canonical order: what a region with one entry and one exit holds is contiguous.
        outputs: positions of the results.
        source: what the graph was read from, for titles.
        unit: what `Op.place` counts: "line" of a cfg, else "layer".
    """

    ops: tuple[Op, ...]
    outputs: tuple[int, ...]
    source: str = ""
    unit: str = "layer"


def settings(**values: Any) -> Fixed:
    """Settings in one order, whatever order they come in."""
    return tuple(sorted(values.items()))


def graph(
    ops: Sequence[Op], outputs: Iterable[int], source: str = "", unit: str = "layer"
) -> Graph:
    """Joins convolution, normalisation and activation, and puts operations in canonical order."""
    ops, ends = _needed(ops, list(outputs))
    joined, place = _join(ops, ends)
    ends = [place[i] for i in ends]
    order = _canonical(joined, ends)
    at = {old: new for new, old in enumerate(order)}
    return Graph(
        tuple(replace(joined[i], inputs=tuple(at[j] for j in joined[i].inputs)) for i in order),
        tuple(dict.fromkeys(at[i] for i in ends)),
        source,
        unit,
    )


def _needed(ops: Sequence[Op], outputs: list[int]) -> tuple[list[Op], list[int]]:
    """The operations that the outputs need, in their own order."""
    kept = sorted(_canonical(ops, outputs))
    at = {old: new for new, old in enumerate(kept)}
    needed = [replace(ops[i], inputs=tuple(at[j] for j in ops[i].inputs)) for i in kept]
    return needed, [at[i] for i in outputs]


def _join(ops: Sequence[Op], outputs: list[int]) -> tuple[list[Op], list[int]]:
    uses = [0] * len(ops)
    for op in ops:
        for i in op.inputs:
            uses[i] += 1
    for i in outputs:
        uses[i] += 1
    joined: list[Op] = []
    place: list[int] = []
    alone: list[bool] = []
    for number, op in enumerate(ops):
        inputs = tuple(place[i] for i in op.inputs)
        host = inputs[0] if len(inputs) == 1 else None
        merged = None if host is None else _merged(joined[host], op, alone[host])
        if host is not None and merged is not None:
            joined[host] = merged
            place.append(host)
            alone[host] = uses[number] == 1
            continue
        op = replace(op, inputs=inputs)
        if host is not None and alone[host] and joined[host].kind == "pad":
            op = _padded(joined[host], op)
        place.append(len(joined))
        joined.append(op)
        alone.append(uses[number] == 1)
    return joined, place


def _merged(host: Op, op: Op, alone: bool) -> Op | None:
    """The host with what follows it, where that belongs to it."""
    if op.kind == "identity" or (op.kind == "act" and op.get("act") == "linear"):
        return host
    if not alone or host.get("act"):
        return None
    if op.kind == "norm" and host.kind in TAKES_NORM and not host.get("norm"):
        joined = host.setting(norm=op.get("norm", "batch"))
    elif op.kind == "act" and host.kind in TAKES_ACT:
        joined = host.setting(**dict(op.fixed))
    else:
        return None
    return replace(joined, parameters=host.parameters + op.parameters)


def _padded(pad: Op, op: Op) -> Op:
    """An operation without padding of its own takes the one before it."""
    if op.get("pad") != "valid" or op.get("kernel") is None:
        return op
    sides = pad.get("sides")
    half = tuple((k // 2, k // 2) for k in op.get("kernel"))
    return replace(op.setting(pad="half" if sides == half else sides), inputs=pad.inputs)


def _canonical(ops: Sequence[Op], outputs: Iterable[int]) -> list[int]:
    """Depth first from the outputs, each operation after all that it reads.

    A region is entered through its exit only, and all that it reads is itself or its entry: so its
    operations stand side by side, in an order that its own structure decides.
    """
    order: list[int] = []
    done = [False] * len(ops)
    for output in outputs:
        stack = [(output, 0)]
        while stack:
            i, reads = stack.pop()
            if done[i]:
                continue
            if reads < len(ops[i].inputs):
                stack += [(i, reads + 1), (ops[i].inputs[reads], 0)]
            else:
                done[i] = True
                order.append(i)
    return order
