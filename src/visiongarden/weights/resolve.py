"""`resolve`: finding the target's weight for each weight of a source under given names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from visiongarden.errors import UserError
from visiongarden.graphs import Graph
from visiongarden.weights.folding import folded
from visiongarden.weights.live import Owned
from visiongarden.weights.pair import Pair, pair
from visiongarden.weights.rules import Rules
from visiongarden.weights.sources import Stored
from visiongarden.weights.torch_names import keras_path


@dataclass(frozen=True)
class Target:
    """The weights of a target.

    Attributes:
        own: Weights by path.
        nested: Paths of the weights of each layer, in order, by the names of nested layers.
        ambiguous: Paths of layers whose automatic names may denote other layers in the source.
        backbone: The backbone as a part, if the target is made of parts.
        graph: Function that reads the graph of the target.
    """

    own: Mapping[str, Owned]
    nested: Mapping[str, tuple[str, ...]]
    ambiguous: Collection[str] = ()
    backbone: Any = None
    graph: Callable[[], Graph] = lambda: Graph((), ())

    def weights_of(self, layer: str) -> tuple[str, ...]:
        """Return the paths of a layer's weights by its path, without names of nested models."""
        return self._by_layer.get(layer, ())

    @cached_property
    def _by_layer(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for path in self.own:
            layer = layer_of(path)
            found[layer] = (*found.get(layer, ()), path)
        return found


@dataclass(frozen=True)
class Resolved:
    """Weights of a source with their counterparts.

    Attributes:
        pairs: Pairs by path of the target.
        left: Weights of the source without a counterpart.
        by_position: Paths that were found by a position in a layer.
        counted: Paths that were not matched because their layers have automatic names.
    """

    pairs: dict[str, Pair]
    left: tuple[Stored, ...]
    by_position: tuple[str, ...]
    counted: tuple[str, ...]


def resolve(
    weights: Iterable[Stored], names: Mapping[str, str], target: Target, rules: Rules | None
) -> Resolved:
    """Find the counterparts of the weights of a source.

    Args:
        weights: Weights of the source.
        names: Their names after rules, by name.
        target: The target's weights.
        rules: Rules that the names follow, which may change values; None for no changes.

    Raises:
        UserError: If two weights of the source match one weight of the target.
    """
    pairs: dict[str, Pair] = {}
    left: dict[str, Stored] = {}
    by_position, counted = [], []
    for stored in weights:
        name = names[stored.name]
        path, is_by_position = _path(stored, name, target)
        # A rule expresses what is known about a layer, so it overrides the ambiguity.
        if path is not None and name == stored.name and layer_of(name) in target.ambiguous:
            counted.append(path)
            path = None
        if path is None:
            left.setdefault(name.replace(".", "/"), stored)
            continue
        if path in pairs:
            raise UserError(
                f"two weights of the source match {path}",
                rule="one weight of the source for each weight of the target",
                received=f"{pairs[path].stored.name} and {stored.name}",
                fix="use rename rules that give them different names",
            )
        change = None if rules is None else rules.change_of(path)
        pairs[path] = pair(stored, target.own[path], name != stored.name, change)
        if is_by_position:
            by_position.append(path)
    if rules is not None:
        pairs, left = folded(pairs, left, target.own, rules.epsilon)
    return Resolved(pairs, tuple(left.values()), tuple(by_position), tuple(counted))


def _path(stored: Stored, name: str, target: Target) -> tuple[str | None, bool]:
    """Return the target's path for a name, and whether it was matched by position in its layer."""
    own = target.own
    if stored.torch:
        path = keras_path(name, own)
        return (path if path in own else None), False
    path = name if "/" in name else name.replace(".", "/")
    if stored.position is None:
        return (path if path in own else None), False
    layer, _, leaf = path.rpartition("/")
    weights = target.nested.get(layer) or target.weights_of(layer)
    if not leaf.isdecimal():
        # The name of the weight is known from the file's config. The file spells the names of the
        # nested layers, which may differ from the path.
        same = [each for each in weights if each.rpartition("/")[2] == leaf]
        return (same[0] if len(same) == 1 else None), False
    if len(weights) != stored.siblings or stored.position >= len(weights):
        return None, False
    return weights[stored.position], True


def layer_of(name: str) -> str:
    """Return the path of a weight's layer; the name may be separated by slashes or by dots."""
    path = name if "/" in name else name.replace(".", "/")
    return path.rpartition("/")[0]
