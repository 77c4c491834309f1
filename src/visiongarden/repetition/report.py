"""Report on the repeated sub-structures of a model and the lines that blocks would save."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from visiongarden.graphs import Graph, Op
from visiongarden.inspect.read_graph import read_graph
from visiongarden.markup import Preformatted
from visiongarden.repetition.grammar import Grammar, Instance, Rule, operations
from visiongarden.repetition.search import flat_lines, line_count, search
from visiongarden.repetition.text import steps
from visiongarden.repetition.vary import Named, varying
from visiongarden.terminal import counted

_MAX_PLACES = 8
"""Maximum number of occurrences that the text lists per repeat."""


@dataclass(frozen=True)
class Place:
    """One occurrence of a repeat.

    Attributes:
        first: Name of its first operation.
        last: Name of its last operation.
        start: Line of the cfg, or number of the layer, at which it starts.
        end: Line or number of its last operation.
        arguments: Values of the block's parameters here.
    """

    first: str
    last: str
    start: int
    end: int
    arguments: dict[str, int]


@dataclass(frozen=True)
class Repeat:
    """Sub-structure that occurs several times, up to different widths and lengths of runs.

    Attributes:
        name: Name derived from its operations; the class that `write` generates has this name.
        steps: Its operations, one line each; a line that names no inputs reads the line before it,
            the first line the entry.
        parameters: Names of the values that differ between occurrences, the arguments of the block.
        places: All occurrences.
        lines: Lines of the block, including loops and nested blocks.
        flat: Lines of all occurrences without any block, one per operation.
        used_in: Names of the repeats that contain it.
    """

    name: str
    steps: tuple[str, ...]
    parameters: tuple[str, ...]
    places: tuple[Place, ...]
    lines: int
    flat: int
    used_in: tuple[str, ...]

    @property
    def saves(self) -> int:
        """Lines saved by a block: all occurrences, less the block and one call per occurrence."""
        return self.flat - self.lines - len(self.places)


@dataclass(frozen=True, repr=False)
class Repeats(Preformatted):
    """Repeated sub-structures of one model, largest saving first; `str` formats them as text.

    Attributes:
        source: Name of the file or the model.
        operations: Number of operations; a convolution with its normalization and activation is
            one.
        unit: Unit of the places: "line" for a cfg, otherwise "layer".
        repeats: The sub-structures, largest saving first.
        rules: Grammar, parameters and names from which `write` generates source code.
    """

    source: str
    operations: int
    unit: str
    repeats: tuple[Repeat, ...]
    rules: Any = None

    def __repr__(self) -> str:
        return f"Repeats({self.source}, {self.operations} operations: {len(self.repeats)} repeats)"

    def __str__(self) -> str:
        return _text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and lists, for JSON."""
        listed = [
            asdict(each) | {"copies": len(each.places), "saves": each.saves}
            for each in self.repeats
        ]
        return {
            "source": self.source,
            "operations": self.operations,
            "unit": self.unit,
            "repeats": listed,
        }


def repeats(source: keras.Model | str | Path) -> Repeats:
    """Find the repeated sub-structures of a model, largest saving first.

    A sub-structure is a chain of operations, or a region with one entry and one exit whose branches
    rejoin. Occurrences are equal up to widths and lengths of runs, and may contain other
    sub-structures. The result does not depend on how the author of the model grouped layers.

    Args:
        source: A Keras model, or the path of a `.keras` file, a Darknet `.cfg` or an ONNX file.

    Raises:
        UserError: The file cannot be opened, or has another suffix.

    Example:
        >>> found = vg.repeats("darknet53.cfg")  # doctest: +SKIP
        >>> [(each.name, len(each.places)) for each in found.repeats]  # doctest: +SKIP
        [('ResidualStage', 5), ('Residual', 23)]
    """
    return repeats_of(read_graph(source))


def repeats_of(graph: Graph) -> Repeats:
    """Find the repeated sub-structures of a graph; see `repeats`."""
    grammar = search(graph)
    # Stages that save no line are listed too; `search` finds them because papers draw them.
    rules = [rule for rule in grammar.rules[1:] if len(rule) > 1 and _saves(grammar, rule) >= 0]
    rules.sort(key=lambda rule: (-_saves(grammar, rule), rule.number))
    named = Named(grammar, varying(grammar), _names(grammar, rules))
    return Repeats(
        graph.source,
        sum(op.kind != "input" for op in graph.ops),
        graph.unit,
        tuple(_repeat(named, rule) for rule in rules),
        named,
    )


def _saves(grammar: Grammar, rule: Rule) -> int:
    return flat_lines(rule) - line_count(grammar, rule) - len(rule.instances)


def _repeat(named: Named, rule: Rule) -> Repeat:
    grammar, varies = named.grammar, named.varying[rule.number]
    users = [
        named.names[other.number]
        for other in grammar.rules[1:]
        if other.number in named.names and any(grammar.runs.get(s) is rule for s in other.symbols)
    ]
    places = [
        _place(grammar.graph.ops, instance, varies.arguments[id(instance)])
        for instance in rule.instances
    ]
    return Repeat(
        named.names[rule.number],
        tuple(steps(named, rule)),
        varies.names,
        tuple(sorted(places, key=lambda place: place.start)),
        line_count(grammar, rule),
        flat_lines(rule),
        tuple(users),
    )


def _place(ops: tuple[Op, ...], instance: Instance, arguments: dict[str, int]) -> Place:
    # The canonical order is not that of the source, so first and last are found by place.
    inside = [ops[i] for i in operations(instance)]
    first = min(inside, key=lambda op: op.place)
    last = max(inside, key=lambda op: op.place)
    return Place(first.name, last.name, first.place, last.place, arguments)


def _names(grammar: Grammar, rules: list[Rule]) -> dict[int, str]:
    """Return a name for each rule, by rule number; rules with the same word are numbered."""
    words = {rule.number: _word(grammar, rule) for rule in grammar.rules[1:] if len(rule) > 1}
    order = [rule.number for rule in rules]
    order += [number for number in words if number not in order]
    totals, used, names = Counter(words.values()), Counter[str](), {}
    for number in order:
        word = words[number]
        used[word] += 1
        names[number] = f"{word}{used[word]}" if totals[word] > 1 else word
    return names


def _word(grammar: Grammar, rule: Rule) -> str:
    flat = [grammar.graph.ops[i] for i in operations(rule.instances[0])]
    own = {grammar.graph.ops[item].kind for item in rule.instances[0] if isinstance(item, int)}
    inner = [
        grammar.runs[s] for s in rule.symbols if s in grammar.runs and len(grammar.runs[s]) > 1
    ]
    kinds = {op.kind for op in flat}
    name = "Convolutions" if kinds & {"conv", "depthwise", "dense"} else "Operations"
    if "multiply" in kinds:
        name = "Gated"
    if "add" in kinds:
        name = "Residual"
    if "concat" in own:
        return "CrossStage" if inner else "Concatenated"
    if flat[0].kind in ("conv", "depthwise", "maxpool", "avgpool") and inner:
        stride = max(flat[0].get("stride", (1,)))
        name += "Stage" if stride > 1 else "Group"
    return name


def _text(result: Repeats) -> str:
    """Format the report."""
    lines = [f"{result.source}: {result.operations} operations, {len(result.repeats)} repeat(s)"]
    if not result.repeats:
        lines.append("no repeated sub-structure with one entry and one exit")
    for each in result.repeats:
        lines += ["", *_paragraph(each, result.unit)]
    return "\n".join(lines)


def _paragraph(each: Repeat, unit: str) -> list[str]:
    arguments = f"({', '.join(each.parameters)})"
    users = f", used in {', '.join(each.used_in)}" if each.used_in else ""
    saved = counted(each.saves, "line")
    lines = [
        f"{each.name}{arguments} ×{len(each.places)}{users}: saves {saved} "
        f"({each.flat} without blocks, {each.lines} in the block, {len(each.places)} for its calls)"
    ]
    lines += [f"    {number}  {step}" for number, step in enumerate(each.steps, start=1)]
    lines += [f"  {_line(place, unit)}" for place in each.places[:_MAX_PLACES]]
    if len(each.places) > _MAX_PLACES:
        lines.append(f"  and {len(each.places) - _MAX_PLACES} more")
    return lines


def _line(place: Place, unit: str) -> str:
    arguments = " ".join(f"{name}={value}" for name, value in place.arguments.items())
    where = f"{unit}s {place.start}-{place.end}"
    return f"{where}: {place.first} … {place.last}" + (f"  {arguments}" if arguments else "")
