"""Report on the repeated sub-structures of a model and the lines that blocks would save."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from visiongarden.inspect.graph import Graph, Op
from visiongarden.inspect.graph.read import read_graph
from visiongarden.repetition.grammar import Grammar, Instance, Rule, operations
from visiongarden.repetition.search import flat_lines, line_count, search
from visiongarden.repetition.text import steps
from visiongarden.repetition.vary import Named, varying

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


@dataclass(frozen=True)
class Repeats:
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
        >>> found = vg.repetition.repeats("darknet53.cfg")
        >>> [(each.name, len(each.places)) for each in found.repeats]
        [('ResidualStage', 5), ('Residual', 23)]
    """
    return repeats_of(read_graph(source))


def repeats_of(graph: Graph) -> Repeats:
    """Find the repeated sub-structures of a graph; see `repeats`."""
    found = search(graph)
    # Stages that save no line are listed too; `search` finds them because papers draw them.
    rules = [rule for rule in found.rules[1:] if len(rule) > 1 and _saves(found, rule) >= 0]
    rules.sort(key=lambda rule: (-_saves(found, rule), rule.number))
    named = Named(found, varying(found), _names(found, rules))
    return Repeats(
        graph.source,
        sum(op.kind != "input" for op in graph.ops),
        graph.unit,
        tuple(_repeat(named, rule) for rule in rules),
        named,
    )


def _saves(found: Grammar, rule: Rule) -> int:
    return flat_lines(rule) - line_count(found, rule) - len(rule.instances)


def _repeat(named: Named, rule: Rule) -> Repeat:
    found, varies = named.grammar, named.varying[rule.number]
    users = [
        named.names[other.number]
        for other in found.rules[1:]
        if other.number in named.names and any(found.runs.get(s) is rule for s in other.symbols)
    ]
    places = [
        _place(found.graph.ops, instance, varies.arguments[id(instance)])
        for instance in rule.instances
    ]
    return Repeat(
        named.names[rule.number],
        tuple(steps(named, rule)),
        varies.names,
        tuple(sorted(places, key=lambda place: place.start)),
        line_count(found, rule),
        flat_lines(rule),
        tuple(users),
    )


def _place(ops: tuple[Op, ...], instance: Instance, arguments: dict[str, int]) -> Place:
    # The canonical order is not that of the source, so first and last are found by place.
    inside = [ops[i] for i in operations(instance)]
    first = min(inside, key=lambda op: op.place)
    last = max(inside, key=lambda op: op.place)
    return Place(first.name, last.name, first.place, last.place, arguments)


def _names(found: Grammar, rules: list[Rule]) -> dict[int, str]:
    """Return a name for each rule, by rule number; rules with the same word are numbered."""
    words = {rule.number: _word(found, rule) for rule in found.rules[1:] if len(rule) > 1}
    order = [rule.number for rule in rules]
    order += [number for number in words if number not in order]
    often, taken, names = Counter(words.values()), Counter[str](), {}
    for number in order:
        word = words[number]
        taken[word] += 1
        names[number] = f"{word}{taken[word]}" if often[word] > 1 else word
    return names


def _word(found: Grammar, rule: Rule) -> str:
    flat = [found.graph.ops[i] for i in operations(rule.instances[0])]
    own = {found.graph.ops[item].kind for item in rule.instances[0] if isinstance(item, int)}
    inner = [found.runs[s] for s in rule.symbols if s in found.runs and len(found.runs[s]) > 1]
    kinds = {op.kind for op in flat}
    what = "Convolutions" if kinds & {"conv", "depthwise", "dense"} else "Operations"
    if "multiply" in kinds:
        what = "Gated"
    if "add" in kinds:
        what = "Residual"
    if "concat" in own:
        return "CrossStage" if inner else "Concatenated"
    if flat[0].kind in ("conv", "depthwise", "maxpool", "avgpool") and inner:
        stride = max(flat[0].get("stride", (1,)))
        what += "Stage" if stride > 1 else "Group"
    return what


def _text(found: Repeats) -> str:
    """Format the report."""
    lines = [f"{found.source}: {found.operations} operations, {len(found.repeats)} repeat(s)"]
    if not found.repeats:
        lines.append("nothing with one entry and one exit repeats")
    for each in found.repeats:
        lines += ["", *_paragraph(each, found.unit)]
    return "\n".join(lines)


def _paragraph(each: Repeat, unit: str) -> list[str]:
    arguments = f"({', '.join(each.parameters)})"
    inside = f", in {', '.join(each.used_in)}" if each.used_in else ""
    saved = f"{each.saves} line{'s' if each.saves != 1 else ''}"
    lines = [
        f"{each.name}{arguments} ×{len(each.places)}{inside}: saves {saved} "
        f"({each.flat} flat; the block {each.lines}, its calls {len(each.places)})"
    ]
    lines += [f"    {number}  {step}" for number, step in enumerate(each.steps, start=1)]
    lines += [f"  {_line(place, unit)}" for place in each.places[:_MAX_PLACES]]
    if len(each.places) > _MAX_PLACES:
        lines.append(f"  and {len(each.places) - _MAX_PLACES} more")
    return lines


def _line(place: Place, unit: str) -> str:
    given = " ".join(f"{name}={value}" for name, value in place.arguments.items())
    where = f"{unit}s {place.start}-{place.end}"
    return f"{where}: {place.first} … {place.last}" + (f"  {given}" if given else "")
