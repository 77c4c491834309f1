"""Source code of a block: a `Composite` whose arguments are the parameters of a rule."""

from __future__ import annotations

from collections import Counter

from visiongarden.graphs import Op
from visiongarden.repetition.grammar import IN, Rule, operations
from visiongarden.repetition.layers import Layers, Unwritable, layer
from visiongarden.repetition.layout import WIDTH, bracket, comprehension
from visiongarden.repetition.vary import Named, Term

__all__ = ["Unwritable", "block"]

_CLASS = '''@vg.register
class {name}(Composite):
    """{summary}

    First occurrence: {first}.
    Input: (batch, height, width, channels).

    Args:
{arguments}        **kwargs: `name`, `dtype`, `trainable`.
    """

{signature}
        super().__init__(**kwargs)
{layers}

    def call(self, x: Any) -> Any:
        """Apply the layers to the input."""
{calls}
'''
_ORDINALS = ("", "second_", "third_", "fourth_", "fifth_", "sixth_")


def block(named: Named, rule: Rule, source: str, unit: str) -> str:
    """Return the source code of the block of a rule.

    Args:
        named: Grammar with parameters and names.
        rule: The rule.
        source: Name of the file or model, safe for a docstring.
        unit: Unit of the places, "line" or "layer".

    Raises:
        Unwritable: The rule contains an operation that cannot be written as a layer.
    """
    layers, calls = _Writer(named, rule).body()
    names = named.varying[rule.number].names
    places = [named.grammar.graph.ops[i].place for i in operations(rule.instances[0])]
    copies = len(rule.instances)
    return _CLASS.format(
        name=named.names[rule.number],
        summary=f"Block of {len(rule)} steps that occurs {copies} times in the model.",
        first=f"{unit}s {min(places)} to {max(places)} of {source}"[:75],
        arguments="".join(f"        {name}: {_meaning(name)}\n" for name in names),
        signature=bracket(
            "def __init__(",
            ["self", *(f"{name}: int" for name in names), "**kwargs: Any"],
            ") -> None:",
            4,
        ),
        layers="\n".join(layers),
        calls="\n".join(calls),
    )


def _meaning(name: str) -> str:
    if name.startswith("repeats"):
        return "number of repetitions."
    return "number of output filters." if name == "filters" else "number of inner filters."


class _Writer:
    """Writer of the two method bodies of a block, `__init__` and `call`."""

    def __init__(self, named: Named, rule: Rule) -> None:
        self.named, self.rule = named, rule
        self.parameters = named.varying[rule.number]
        self.numbers: Counter[str] = Counter()
        self.layers: list[str] = []
        self.calls: list[str] = []
        self.names: list[str] = []  # variable that holds the result of each position

    def body(self) -> tuple[list[str], list[str]]:
        """Return the lines of `__init__` and of `call`."""
        for position in range(len(self.rule)):
            reads = [self._read(i) for i in self.rule.inputs[position]]
            item = self.rule.instances[0][position]
            if isinstance(item, int):
                op = self.named.grammar.graph.ops[item]
                result = self._operation(op, self.parameters.widths.get(position), reads)
            else:
                result = self._repeat(position, reads)
            self.names.append(result)
        self.calls.append(f"        return {self.names[-1]}")
        return self.layers, self.calls

    def _read(self, position: int) -> str:
        return "x" if position == IN else self.names[position]

    def _operation(self, op: Op, width: Term | None, reads: list[str]) -> str:
        if op.kind == "slice":
            return self._slice(op, reads[0])
        value = reads[0] if len(reads) == 1 else f"[{', '.join(reads)}]"
        for word, source in layer(op, _number(op, width)):
            value = self._call(word, source, value)
        return value

    def _call(self, word: str, source: str, value: str) -> str:
        attribute = self._attribute(word)
        name, arguments = _split(source)
        self.layers.append(bracket(f"self.{attribute} = {name}(", arguments, ")", 8))
        return self._assign(f"self.{attribute}({value})")

    def _repeat(self, position: int, reads: list[str]) -> str:
        rule = self.named.grammar.runs[self.rule.symbols[position]]
        units = self._unit(rule, self.parameters.inner.get(position, {}))
        times = self.parameters.repeats[position]
        value = reads[0]
        # A run with one copy everywhere needs no loop.
        if str(times) == "1":
            for word, source in units:
                value = self._call(word, source, value)
            return value
        lists = []
        for word, source in units:
            attribute = self._attributes(word)
            lists.append(f"self.{attribute}")
            loop = f"for _ in range({times})"
            self.layers.append(comprehension(lists[-1], _split(source), loop, 8))
        value, words = f"y{len(self.names) + 1}", ", ".join(word for word, _ in units)
        iterable = lists[0] if len(lists) == 1 else f"zip({', '.join(lists)}, strict=True)"
        self.calls += [f"        {value} = {reads[0]}", f"        for {words} in {iterable}:"]
        self.calls += [f"            {value} = {word}({value})" for word, _ in units]
        return value

    def _unit(self, rule: Rule, inner: dict[str, Term]) -> Layers:
        if len(rule) > 1:
            arguments = ", ".join(f"{name}={term}" for name, term in inner.items())
            return [("unit", f"{self.named.names[rule.number]}({arguments})")]
        item = rule.instances[0][0]
        if not isinstance(item, int):
            raise Unwritable("nested runs")
        op = self.named.grammar.graph.ops[item]
        own = self.named.varying[rule.number].widths.get(0)
        return layer(op, _number(op, inner.get(own.name, own) if own else None))

    def _slice(self, op: Op, value: str) -> str:
        parts, part = op.get("parts"), op.get("part")
        if parts is None:
            raise Unwritable(f"slice {op.get('key')}")
        size = f"size{len(self.names) + 1}"
        # Computed from the input, because the number of channels may depend on the arguments.
        self.calls.append(f"        {size} = {value}.shape[-1] // {parts}")
        start = "" if part == 0 else size if part == 1 else f"{part} * {size}"
        stop = "" if part == parts - 1 else size if part == 0 else f"{part + 1} * {size}"
        return self._assign(f"{value}[..., {start}:{stop}]")

    def _attribute(self, word: str) -> str:
        self.numbers[word] += 1
        return f"{word}{self.numbers[word]}"

    def _attributes(self, word: str) -> str:
        plural = f"{word}s"
        self.numbers[plural] += 1
        number = self.numbers[plural]
        return f"{_ORDINALS[number - 1] if number <= len(_ORDINALS) else f'more{number}_'}{plural}"

    def _assign(self, call: str) -> str:
        name = f"y{len(self.names) + 1}"
        self.calls.append(_wrapped(name, call))
        return name


def _number(op: Op, width: Term | None) -> str:
    return str(width if width is not None else op.width)


def _split(source: str) -> tuple[str, list[str]]:
    """Split `name(a, b)` into name and arguments; an argument that is a tuple stays one."""
    name, _, arguments = source[:-1].partition("(")
    if "((" in source:
        return name, [arguments]
    return name, arguments.split(", ") if arguments else []


def _wrapped(name: str, call: str) -> str:
    line = f"        {name} = {call}"
    if len(line) <= WIDTH or "[" not in call:
        return line
    head, _, items = call.partition("([")
    joined = items[:-2].split(", ")
    return bracket(f"{name} = {head}([", joined, "])", 8) if joined else line
