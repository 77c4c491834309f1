"""Operations and graphs, and the canonical order of operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

Fixed = tuple[tuple[str, Any], ...]
ABSORBS_NORM = frozenset({"conv", "depthwise", "transposed", "dense"})
"""Kinds of operation that absorb the normalization that follows them."""
ABSORBS_ACT = ABSORBS_NORM | {"norm", "add", "multiply"}
"""Kinds of operation that absorb the activation that follows them."""


@dataclass(frozen=True)
class Op:
    """One operation; a convolution together with its normalization and activation is one operation.

    Attributes:
        kind: "conv", "depthwise", "dense", "norm", "act", "add", "concat", "maxpool", ...;
            operations without such a name keep the name of their source.
        inputs: Positions of the operations that it reads.
        fixed: Settings that are equal in equal operations, such as kernel, stride and activation.
        width: Filters of a convolution or units of a dense layer; may differ between equal
            operations.
        name: Path of a Keras layer, name of an ONNX node, or section and number of a cfg layer.
        place: Line of a cfg, or position in other sources.
        channels: Channels of the output, if known.
        parameters: Number of weights, including moving statistics.
        module: Module of a registered layer class, if known.
        source: Constructor call of that layer as source code.
        keeps_sides: Whether its output is known to have the height and width of its input.
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
        """Return the value of a fixed setting."""
        return dict(self.fixed).get(setting, default)

    def setting(self, **changes: Any) -> Op:
        """Return the same operation with added or changed settings."""
        return replace(self, fixed=settings(**(dict(self.fixed) | changes)))


@dataclass(frozen=True)
class Graph:
    """Operations in an order in which each reads only earlier ones.

    Attributes:
        ops: Operations in canonical order, in which a region with one entry and one exit is
            contiguous.
        outputs: Positions of the outputs.
        source: Name of the file or model, for titles.
        unit: Unit of `Op.place`: "line" for a cfg, otherwise "layer".
    """

    ops: tuple[Op, ...]
    outputs: tuple[int, ...]
    source: str = ""
    unit: str = "layer"


def settings(**values: Any) -> Fixed:
    """Return settings as pairs in a fixed order, whatever the order of the arguments."""
    return tuple(sorted(values.items()))


def graph(
    ops: Sequence[Op], outputs: Iterable[int], source: str = "", unit: str = "layer"
) -> Graph:
    """Build a graph in canonical order from the operations of a source.

    Unused operations are removed. Normalization, activation and padding are merged into the
    operation that they belong to, so that sources which store them separately or together give
    equal graphs.

    Args:
        ops: Operations, each after the operations that it reads.
        outputs: Positions of the outputs.
        source: Name of the file or model.
        unit: Unit of `Op.place`.
    """
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
    """Remove operations that no output depends on; the others keep their order."""
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
    single_use: list[bool] = []
    for number, op in enumerate(ops):
        inputs = tuple(place[i] for i in op.inputs)
        # Operations are merged into their input, so one pass in source order merges longer chains
        # too.
        host = inputs[0] if len(inputs) == 1 else None
        merged = None if host is None else _merged(joined[host], op, single_use[host])
        if host is not None and merged is not None:
            joined[host] = merged
            place.append(host)
            single_use[host] = uses[number] == 1
            continue
        op = replace(op, inputs=inputs)
        if host is not None and single_use[host] and joined[host].kind == "pad":
            op = _padded(joined[host], op)
        place.append(len(joined))
        joined.append(op)
        single_use.append(uses[number] == 1)
    return joined, place


def _merged(host: Op, op: Op, single_use: bool) -> Op | None:
    """Return `host` with the operation that follows it merged in, or None if they stay separate.

    Args:
        host: The only input of `op`.
        op: The operation that follows.
        single_use: Whether nothing else reads `host`.
    """
    if op.kind == "identity" or (op.kind == "act" and op.get("act") == "linear"):
        # Without effect, so also removed where several operations read the host.
        return host
    if not single_use or host.get("act"):
        return None
    if op.kind == "norm" and host.kind in ABSORBS_NORM and not host.get("norm"):
        joined = host.setting(norm=op.get("norm", "batch"))
    elif op.kind == "act" and host.kind in ABSORBS_ACT:
        joined = host.setting(**dict(op.fixed))
    else:
        return None
    return replace(joined, parameters=host.parameters + op.parameters)


def _padded(pad: Op, op: Op) -> Op:
    """Merge a separate padding operation into an operation that does not pad."""
    if op.get("pad") != "valid" or op.get("kernel") is None:
        return op
    sides = pad.get("sides")
    half = tuple((k // 2, k // 2) for k in op.get("kernel"))
    return replace(op.setting(pad="half" if sides == half else sides), inputs=pad.inputs)


def _canonical(ops: Sequence[Op], outputs: Iterable[int]) -> list[int]:
    """Return the positions depth first from the outputs, each after all that it reads.

    A region with one entry and one exit is entered through its exit, and everything it reads is
    part of it or its entry. Its operations are therefore contiguous, in an order that depends only
    on its own structure, so repeats can be found as in text.
    """
    order: list[int] = []
    done = [False] * len(ops)
    for output in outputs:
        # An explicit stack, because deep networks exceed Python's recursion limit.
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
