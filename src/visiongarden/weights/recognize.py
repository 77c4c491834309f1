"""`recognize`: choosing the rules for a source by its names and shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from visiongarden.errors import UserError
from visiongarden.graphs import Graph
from visiongarden.weights.graph_order import matched_layers
from visiongarden.weights.library import published, read_rules
from visiongarden.weights.pair import size_of
from visiongarden.weights.report import BODY, within
from visiongarden.weights.resolve import Resolved, Target, resolve
from visiongarden.weights.rules import Rules
from visiongarden.weights.sources import Stored

RulesArgument: TypeAlias = Literal["auto"] | str | Path | Rules | None
"""Rules by name or file, "auto" to recognize them, or None for the names as they are."""

_MAX_PREFIXES, _MAX_SEGMENTS = 6, 3
_MIN_TRANSLATED = 0.5
_PARTS = (*BODY, "head")


class SourceGraph(NamedTuple):
    """Graph of a source.

    Attributes:
        graph: The graph.
        epsilon: Epsilon of its normalizations, if all have the same.
    """

    graph: Graph
    epsilon: float | None


@dataclass(frozen=True)
class Recognized:
    """Rules for a source, and the names that they give its weights.

    Attributes:
        rules: The rules; None if the names are used as they are.
        names: Names by the source's name.
        resolved: The weights with their counterparts.
        prefix: Start of the source's names that was removed first, such as "module".
        score: Fractions of the parameters of the target that fit: of backbone and decoder, and of
            all.
        automatic: Whether the rules were recognized, not given.
        ignored: Names of the source that the rules ignore.
    """

    rules: Rules | None
    names: dict[str, str]
    resolved: Resolved
    prefix: str = ""
    score: tuple[float, float] = (0.0, 0.0)
    automatic: bool = False
    ignored: tuple[str, ...] = ()


def recognize(
    weights: Iterable[Stored],
    names: Mapping[str, str],
    target: Target,
    rules: RulesArgument = "auto",
    graph: SourceGraph | None = None,
) -> Recognized:
    """Choose rules for a source.

    With "auto", the names are used as they are unless shipped rules match more parameters of the
    target. A common start of the names, such as "module" or "backbone", is removed where more
    weights match without it.

    Args:
        weights: Weights of the source.
        names: Their names after the user's renames, by name.
        target: The target's weights.
        rules: The rules, or "auto".
        graph: Graph of the source, in which weights are found by their places if names are lost.

    Raises:
        ConfigError: If there are no such rules.
        UserError: If given rules match two weights of the source to one of the target.
    """
    weights = list(weights)
    if rules is None:
        return Recognized(None, dict(names), resolve(weights, names, target, None))
    if rules != "auto":
        given = rules if isinstance(rules, Rules) else read_rules(rules)
        _check_fields(given, target)
        return max(_by_prefix(weights, names, target, given), key=lambda each: each.score)
    plain = resolve(weights, names, target, None)
    best = Recognized(None, dict(names), plain, score=_score(plain, target))
    if best.score[0] == 1:
        return best
    others = [known for known in published() if known.unsuited(target.backbone)]
    for known in published():
        if not known.suits(target.backbone):
            continue
        for found in _by_prefix(weights, names, target, known, automatic=True):
            if found.score > best.score:
                best = found
    if best.score[0] < 1 and graph is not None:
        best = max(best, _by_graph(weights, target, graph), key=lambda each: each.score)
    if best.rules is None:
        _check_others(weights, names, target, others, best)
    return best


def rules_of_names(names: Iterable[str]) -> tuple[Rules, float] | None:
    """Return the shipped rules that translate most names of a source, whatever the target is.

    Args:
        names: Names of the weights of the source.

    Returns:
        The rules, and the fraction of the names that they translate to paths of a model; None if no
        rules translate half of them.
    """
    names = list(names)
    best: tuple[Rules, float] | None = None
    for rules in published():
        for prefix in _prefixes(names):
            inner = [n[len(prefix) :].lstrip("./") if _starts(n, prefix) else n for n in names]
            translated = sum(
                (new := rules.renamed(name)) != name and within(new.replace(".", "/"), _PARTS)
                for name in inner
            )
            share = translated / max(len(names), 1)
            if share >= _MIN_TRANSLATED and (best is None or share > best[1]):
                best = rules, share
    return best


def _by_graph(weights: list[Stored], target: Target, graph: SourceGraph) -> Recognized:
    """Return the names that the places of the weights in the graph of the source give them.

    Raises:
        UserError: If weights have the same place and shape.
    """
    own = target.graph()
    kernels = {stored.node: stored for stored in weights if stored.role == "kernel"}
    at_node = {op.place: at for at, op in enumerate(graph.graph.ops) if op.place in kernels}
    paths = {owned.layer.path: path.rpartition("/")[0] for path, owned in target.own.items()}
    own_shapes, shapes = {}, {}
    for at, op in enumerate(own.ops):
        kernel = target.own.get(f"{paths.get(op.name)}/kernel")
        if kernel is not None:
            own_shapes[at] = tuple(kernel.variable.shape)
    for node, at in at_node.items():
        shapes[at] = _kernel_shape(kernels[node].shape, graph.graph.ops[at].kind)
    matched = matched_layers(graph.graph, own, shapes, own_shapes)
    layers = {graph.graph.ops[a].place: paths[own.ops[b].name] for a, b in matched.pairs}
    names = {stored.name: _name_at(stored, layers) for stored in weights}
    rules = Rules(name="order of the graph", names={}, epsilon=graph.epsilon)
    resolved = resolve(weights, names, target, rules)
    found = Recognized(rules, names, resolved, "", _score(resolved, target), True)
    if matched.ambiguous and found.score[0] < 1:
        alike = [kernels[graph.graph.ops[at].place].name for at in matched.ambiguous[0]]
        raise UserError(
            f"{len(alike)} weights of the graph cannot be distinguished: {', '.join(alike[:4])}",
            rule="weights that differ in shape, or in the layers before and after them",
            received="equal names are lost, and equal places",
            fix="export the model with the names of its weights, or use rules",
        )
    return found


def _kernel_shape(shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """Return the shape of ONNX's kernel in Keras's axis order."""
    if kind == "depthwise":
        return (*shape[2:], shape[0], shape[1])
    return (*shape[2:], shape[1], shape[0])


def _name_at(stored: Stored, layers: Mapping[int, str]) -> str:
    layer = layers.get(stored.node)
    if layer is None:
        return stored.name
    if stored.role in ("kernel", "bias"):
        return f"{layer}/{'weight' if stored.role == 'kernel' else 'bias'}"
    unit = layer.rpartition("/")[0]
    return f"{unit}/norm/{stored.role}" if unit else f"norm/{stored.role}"


def _check_others(
    weights: list[Stored],
    names: Mapping[str, str],
    target: Target,
    others: Iterable[Rules],
    best: Recognized,
) -> None:
    """Raise an error if only rules fit that need another field of the backbone."""
    for known in others:
        for found in _by_prefix(weights, names, target, known, automatic=True):
            if found.score > best.score:
                _check_fields(known, target)


def _check_fields(rules: Rules, target: Target) -> None:
    fields = rules.unsuited(target.backbone)
    if fields:
        backbone = target.backbone.replace(**fields)
        raise UserError(
            f"the backbone computes something else than that of {rules.source or rules.name}, "
            "although their weights have the same shapes",
            rule=", ".join(f"{name}={value!r}" for name, value in fields.items()),
            received=f"{target.backbone}",
            fix=f"{backbone}",
        )


def _by_prefix(
    weights: list[Stored],
    names: Mapping[str, str],
    target: Target,
    rules: Rules,
    automatic: bool = False,
) -> Iterator[Recognized]:
    """Yield the result of rules for each start of the names that may have to be removed."""
    # A backbone alone has the paths of a model without the first segment.
    is_part = not any(path.startswith("backbone/") for path in target.own)
    for prefix in _prefixes(names.values()):
        changed = {}
        for stored in weights:
            name = names[stored.name]
            inner = name[len(prefix) :].lstrip("./") if _starts(name, prefix) else name
            renamed = rules.renamed(inner)
            changed[stored.name] = renamed.removeprefix("backbone/") if is_part else renamed
        # Names that no rule changes are those of another checkpoint, or of our own models.
        if automatic and all(changed[name] == names[name] for name in changed):
            continue
        try:
            ignored = [s.name for s in weights if rules.ignores(changed[s.name])]
            used = [s for s in weights if s.name not in ignored]
            resolved = resolve(used, changed, target, rules)
        except UserError:
            if automatic or prefix:
                continue  # other rules, or another start of the names, give unique names
            raise
        score = _score(resolved, target)
        yield Recognized(rules, changed, resolved, prefix, score, automatic, tuple(ignored))


def _prefixes(names: Iterable[str]) -> list[str]:
    """Return "", and the starts of whole segments that many names have in common."""
    counts: Counter[str] = Counter()
    total = 0
    for name in names:
        steps = name.replace("/", ".").split(".")
        total += 1
        for depth in range(1, min(len(steps), _MAX_SEGMENTS + 1)):
            counts["".join(f"{step}." for step in steps[:depth])[:-1]] += 1
    common = [start for start, count in counts.most_common(20) if 3 * count >= total]
    return ["", *common[:_MAX_PREFIXES]]


def _starts(name: str, prefix: str) -> bool:
    return bool(prefix) and name.replace("/", ".").startswith(f"{prefix}.")


def _score(resolved: Resolved, target: Target) -> tuple[float, float]:
    """Return the fractions of fitting parameters, of backbone and decoder first."""
    fits = {path for path, each in resolved.pairs.items() if each.fits()}
    body = [path for path in target.own if within(path, BODY)] or list(target.own)
    return _fraction(body, fits, target), _fraction(target.own, fits, target)


def _fraction(paths: Iterable[str], fits: set[str], target: Target) -> float:
    sizes = {path: size_of(target.own[path].variable) for path in paths}
    return sum(size for path, size in sizes.items() if path in fits) / max(1, sum(sizes.values()))
