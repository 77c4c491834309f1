"""Graph as a grammar: rules whose bodies consist of operations and runs of other rules.

Each region has one entry and one exit. In the canonical order of a graph such a region is a
contiguous range, so repeats are found as in text, by comparing signatures: for each operation its
symbol, and the operations of the region that it reads. Neither widths nor lengths of runs are part
of a signature; where they differ, they become arguments of the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from visiongarden.graphs import Graph

IN = -1
"""Input of an operation that reads the entry of its region."""


@dataclass
class Run:
    """A rule applied several times in sequence, each time to the result of the time before."""

    rule: Rule
    copies: list[Instance]


Instance = list[int | Run]
"""One occurrence of a rule: for each position an operation of the graph, or a run."""


@dataclass(eq=False)
class Rule:
    """Body that occurs several times; rule 0 is the graph itself and occurs once.

    Attributes:
        number: Index in `Grammar.rules`.
        symbols: Symbol at each position of the body; equal symbols are equal up to widths and
            lengths of runs.
        inputs: Positions that each position reads, or IN.
        last_use: Last position that reads each position; the length of the body if it is read
            outside.
        instances: All occurrences in the graph.
    """

    number: int
    symbols: list[int]
    inputs: list[tuple[int, ...]]
    last_use: list[int] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.symbols)


@dataclass
class Grammar:
    """Graph as a list of rules; `rules[0]` is the graph.

    Attributes:
        graph: The graph that the rules describe.
        rules: All rules; each except the first occurs in the body of another one.
        runs: Rule of each symbol that represents a run.
        symbols: Symbol of each kind of operation with its settings, and of each rule's run.
    """

    graph: Graph
    rules: list[Rule]
    runs: dict[int, Rule]
    symbols: dict[object, int]

    @property
    def size(self) -> int:
        """Number of positions in all bodies, except those of one operation.

        A body of one operation is written where it is used.
        """
        return sum(len(rule) for rule in self.rules if len(rule) > 1)


def grammar(graph: Graph) -> Grammar:
    """Return a grammar with one rule, the graph as it is."""
    symbols: dict[object, int] = {}
    body = [symbols.setdefault((op.kind, op.fixed), len(symbols)) for op in graph.ops]
    rule = Rule(0, body, [op.inputs for op in graph.ops])
    rule.instances.append(list(range(len(body))))
    rule.last_use = last_uses(rule.inputs, graph.outputs)
    return Grammar(graph, [rule], {}, symbols)


def last_uses(inputs: list[tuple[int, ...]], outputs: tuple[int, ...]) -> list[int]:
    """Return the last reader of each position; the length for positions that are read outside."""
    uses = list(range(len(inputs)))
    for reader, read in enumerate(inputs):
        for i in read:
            if i != IN:
                uses[i] = max(uses[i], reader)
    for i in outputs:
        uses[i] = len(inputs)
    return uses


def signature(rule: Rule, start: int, end: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Return the signature of a region, which is equal wherever the region occurs."""
    return tuple(
        (rule.symbols[i], tuple(j - start if j >= start else IN for j in rule.inputs[i]))
        for i in range(start, end)
    )


def operations(instance: Instance) -> Iterator[int]:
    """Yield all operations of an instance in order."""
    stack: list[Iterator[int | Run]] = [iter(instance)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, int):
            yield item
        else:
            stack.append(step for copy in item.copies for step in copy)


def replace(grammar: Grammar, places: list[tuple[Rule, int]], length: int) -> Rule:
    """Turn a region into a rule, and replace all its occurrences by runs of the rule.

    Args:
        grammar: Grammar, modified in place.
        places: Rule and start of each occurrence; occurrences do not overlap.
        length: Length of the region.

    Returns:
        The new rule.
    """
    first, start = places[0]
    body = signature(first, start, start + length)
    rule = Rule(len(grammar.rules), [symbol for symbol, _ in body], [read for _, read in body])
    rule.last_use = last_uses(rule.inputs, (length - 1,))
    symbol = grammar.symbols.setdefault(("run", rule.number), len(grammar.symbols))
    grammar.runs[symbol] = rule
    grammar.rules.append(rule)
    starts: dict[int, list[int]] = {}
    for home, start in places:
        starts.setdefault(home.number, []).append(start)
    for number, wanted in starts.items():
        home = grammar.rules[number]
        _contract(home, sorted(wanted), length, symbol, rule)
        _join_runs(home, symbol, grammar)
    return rule


def _contract(home: Rule, starts: list[int], length: int, symbol: int, rule: Rule) -> None:
    pieces: list[tuple[int, int]] = []  # ranges of old positions; each becomes one position
    wanted, i = set(starts), 0
    while i < len(home):
        step = length if i in wanted else 1
        pieces.append((i, i + step))
        i += step
    at = {old: new for new, (a, b) in enumerate(pieces) for old in range(a, b)}
    for instance in home.instances:
        grouped: Instance = []
        for a, b in pieces:
            if a in wanted:
                copy = instance[a:b]
                rule.instances.append(copy)
                grouped.append(Run(rule, [copy]))
            else:
                grouped.append(instance[a])
        instance[:] = grouped
    _rewrite(home, pieces, at, lambda a, b: symbol if a in wanted else home.symbols[a])


def _rewrite(home: Rule, pieces: list[tuple[int, int]], at: dict[int, int], name: object) -> None:
    symbols, inputs, last = [], [], []
    for a, b in pieces:
        read = [j for i in range(a, b) for j in home.inputs[i] if not a <= j < b]
        # A region reads only its entry, which several of its operations may read. A single
        # operation may read one input twice, as in x * x.
        kept = read if b - a == 1 else list(dict.fromkeys(read))
        symbols.append(name(a, b))  # type: ignore[operator]
        inputs.append(tuple(at[j] if j != IN else IN for j in kept))
        use = home.last_use[b - 1]
        last.append(len(pieces) if use >= len(home) else at[use])
    home.symbols, home.inputs, home.last_use = symbols, inputs, last


def _join_runs(home: Rule, symbol: int, grammar: Grammar) -> None:
    """Merge runs of the same rule with equal widths that follow each other into one run."""
    pieces: list[tuple[int, int]] = []
    for i in range(len(home)):
        if (
            pieces
            and home.symbols[i] == symbol == home.symbols[i - 1]
            and home.inputs[i] == (i - 1,)
            # The result between two runs must not be read elsewhere: inside a loop it has no name.
            and home.last_use[i - 1] == i
            and all(_equal(one[i - 1], one[i], grammar) for one in home.instances)
        ):
            pieces[-1] = (pieces[-1][0], i + 1)
        else:
            pieces.append((i, i + 1))
    if len(pieces) == len(home):
        return
    at = {old: new for new, (a, b) in enumerate(pieces) for old in range(a, b)}
    for instance in home.instances:
        joined: Instance = []
        for a, b in pieces:
            item = instance[a]
            if b - a > 1 and isinstance(item, Run):
                later = [run for run in instance[a + 1 : b] if isinstance(run, Run)]
                item = Run(item.rule, item.copies + [copy for run in later for copy in run.copies])
            joined.append(item)
        instance[:] = joined
    _rewrite(home, pieces, at, lambda a, b: home.symbols[a])


def _equal(one: int | Run, other: int | Run, grammar: Grammar) -> bool:
    return vector(one, grammar) == vector(other, grammar)


def vector(item: int | Run, grammar: Grammar) -> object:
    """Return the widths and run lengths inside an item; of a run those of its first copy.

    All copies in a run have equal widths.
    """
    if isinstance(item, int):
        return grammar.graph.ops[item].width
    return tuple(tuple(vector(step, grammar) for step in copy) for copy in item.copies[:1])
