"""Matching the layers of two graphs by their place and shapes, where names are lost.

A layer is known by its own shape and by the layers that it reads, back to the image. Layers that
are equal in both, such as the two convolutions that split the channels of a CSP block, are known
by the layers that read them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from visiongarden.graphs import Graph, Op

WEIGHTED = frozenset({"conv", "depthwise", "transposed", "dense"})
"""Kinds of operation with a kernel."""
_MAX_RADIUS = 12

Shapes = Mapping[int, tuple[int, ...]]
"""Shape of the kernel in Keras's axis order by the position of an operation."""


@dataclass(frozen=True)
class Matched:
    """Layers of one graph that are those of the other.

    Attributes:
        pairs: (position in the source, position in the target) of each pair.
        ambiguous: Positions in the source of layers that cannot be distinguished, by group.
    """

    pairs: tuple[tuple[int, int], ...]
    ambiguous: tuple[tuple[int, ...], ...]


def matched_layers(source: Graph, target: Graph, shapes: Shapes, own_shapes: Shapes) -> Matched:
    """Match the layers with kernels of two graphs.

    Args:
        source: Graph of the source.
        target: Graph of the target.
        shapes: Shapes of the source's kernels.
        own_shapes: Shapes of the target's kernels.
    """
    pairs: dict[int, int] = {}
    while True:
        found = _matched_once(source, target, shapes, own_shapes, pairs)
        # Known layers distinguish those that read them.
        if not found.ambiguous or len(found.pairs) == len(pairs):
            return found
        pairs = dict(found.pairs)


def _matched_once(
    source: Graph, target: Graph, shapes: Shapes, own_shapes: Shapes, known: Mapping[int, int]
) -> Matched:
    sides = [
        _Side(source, shapes, {a: number for number, a in enumerate(known)}),
        _Side(target, own_shapes, {b: number for number, b in enumerate(known.values())}),
    ]
    groups = [side.by_inputs() for side in sides]
    pairs: list[tuple[int, int]] = []
    ambiguous: list[tuple[int, ...]] = []
    for key, left in groups[0].items():
        right = groups[1].get(key, [])
        if not right:
            continue
        found = _distinguished(sides, left, right)
        pairs += found
        rest = {a for a, _ in found}
        if len(rest) < min(len(left), len(right)):
            ambiguous.append(tuple(a for a in left if a not in rest))
    return Matched(tuple(pairs), tuple(ambiguous))


class _Side:
    """One graph with what is known of its layers."""

    def __init__(self, graph: Graph, shapes: Shapes, labels: Mapping[int, int]) -> None:
        self.graph, self.shapes, self.labels = graph, shapes, labels
        self.before: dict[int, Hashable] = {}
        self.readers: dict[int, list[int]] = defaultdict(list)
        self._from_inputs()

    def _from_inputs(self) -> None:
        values: list[Hashable] = []
        origins: list[frozenset[int]] = []
        for at, op in enumerate(self.graph.ops):
            inputs = [values[i] for i in op.inputs]
            if op.kind in WEIGHTED and at in self.shapes:
                for origin in frozenset().union(*(origins[i] for i in op.inputs)):
                    self.readers[origin].append(at)
                self.before[at] = hash((self.own(at), tuple(inputs)))
                values.append(self.before[at])
                origins.append(frozenset({at}))
            else:
                values.append(_passed(op, inputs))
                origins.append(frozenset().union(*(origins[i] for i in op.inputs)))

    def own(self, at: int, with_width: bool = True) -> Hashable:
        op = self.graph.ops[at]
        shape = self.shapes[at] if with_width else self.shapes[at][:-1]
        return op.kind, shape, op.get("stride"), op.get("dilation"), self.labels.get(at)

    def after(self, at: int, radius: int, with_width: bool) -> Hashable:
        """Return what is known of a layer and of the layers that read it, up to a distance."""
        mine = self.own(at, with_width)
        if not radius:
            return hash(mine)
        readers = [self.after(each, radius - 1, with_width) for each in self.readers[at]]
        return hash((mine, tuple(sorted(map(hash, readers)))))

    def by_inputs(self) -> dict[Hashable, list[int]]:
        """Return the layers by what is known of them and of what they read."""
        found: dict[Hashable, list[int]] = defaultdict(list)
        for at, key in self.before.items():
            found[key].append(at)
        return found

    def by_readers(
        self, layers: Iterable[int], radius: int, with_width: bool
    ) -> dict[Hashable, list[int]]:
        """Return layers by what is known of them and of the layers that read them."""
        found: dict[Hashable, list[int]] = defaultdict(list)
        for at in layers:
            found[self.after(at, radius, with_width)].append(at)
        return found


def _passed(op: Op, inputs: list[Hashable]) -> Hashable:
    """Return what an operation without a kernel passes on of what is known of its inputs."""
    # Slices of one map that are concatenated, as by a focus, are that map.
    if len(set(inputs)) <= 1:
        return inputs[0] if inputs else op.kind
    order = tuple(inputs) if op.kind == "concat" else tuple(sorted(map(hash, inputs)))
    return hash((op.kind, order))


def _distinguished(
    sides: Sequence[_Side], left: list[int], right: list[int]
) -> list[tuple[int, int]]:
    if len(left) == len(right) == 1:
        return [(left[0], right[0])]
    best: list[tuple[int, int]] = []
    for with_width in (True, False):
        for radius in range(1, _MAX_RADIUS):
            groups = [
                side.by_readers(layers, radius, with_width)
                for side, layers in zip(sides, (left, right), strict=True)
            ]
            found = [
                (group[0], groups[1][key][0])
                for key, group in groups[0].items()
                if len(group) == 1 and len(groups[1].get(key, [])) == 1
            ]
            if len(found) == min(len(left), len(right)):
                return found
            best = max(best, found, key=len)
    return best
