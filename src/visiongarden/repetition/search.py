"""The search for what repeats: the region that saves most becomes a rule, until none saves."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from visiongarden.inspect.graph import Graph, Op
from visiongarden.repetition.grammar import (
    Grammar,
    Rule,
    Run,
    grammar,
    operations,
    replace,
    vector,
)

WINDOW = 96
"""Longest region that is compared, in positions; one of more is found once its own repeats are
rules. It keeps the time linear in the number of operations."""


@dataclass(frozen=True)
class _Found:
    saves: int
    run: bool
    stage: int
    length: int
    places: list[tuple[Rule, int]]


def search(graph: Graph) -> Grammar:
    """The graph as a grammar.

    A run of one operation (VGG's convolutions) may hide a better region or reveal one: both ways
    are gone, and the smaller grammar counts.
    """
    blocks = _exhaust(grammar(graph))
    runs = grammar(graph)
    if not _runs_of_one(runs):
        return blocks
    runs = _exhaust(runs)
    return runs if runs.size < blocks.size else blocks


def _exhaust(found: Grammar) -> Grammar:
    while (best := _best(found)) is not None:
        replace(found, best.places, best.length)
    return found


def _runs_of_one(found: Grammar) -> bool:
    """Makes runs of single convolutions that follow each other; whether there are any."""
    top, ops = found.rules[0], found.graph.ops
    repeated = {
        top.symbols[i]
        for i in range(1, len(top))
        if top.symbols[i] == top.symbols[i - 1]
        and top.inputs[i] == (i - 1,)
        and top.last_use[i - 1] == i
        and ops[i].kind in ("conv", "dense")
        and set(ops[i].get("stride", (1,))) == {1}
    }
    for symbol in sorted(repeated):
        top = found.rules[0]
        replace(found, [(top, i) for i in range(len(top)) if top.symbols[i] == symbol], 1)
    return bool(repeated)


def _best(found: Grammar) -> _Found | None:
    """The region that saves most; where two save the same: a run, one that begins with a change of
    the size, as papers draw stages, the shorter, the earlier."""
    best: _Found | None = None
    for candidate in _candidates(found):
        if best is None or _rank(candidate) > _rank(best):
            best = candidate
    return best


def _rank(found: _Found) -> tuple[int, bool, int, int]:
    return found.saves, found.run, found.stage, -found.length


def _candidates(found: Grammar) -> list[_Found]:
    # Level by level: regions of `length` from starts whose shorter regions occur twice or more.
    lanes = [_Lane(rule, found) for rule in found.rules if len(rule) > 1]
    alive = [(lane, start) for lane in lanes for start in range(len(lane.rule))]
    candidates = []
    for length in range(1, WINDOW + 1):
        groups: dict[int, list[tuple[_Lane, int]]] = defaultdict(list)
        for lane, start in alive:
            mark = lane.extend(start, length)
            if mark is not None:
                groups[mark].append((lane, start))
        alive = []
        for group in groups.values():
            if len(group) > 1:
                if found_here := _evaluate(group, length):
                    candidates.append(found_here)
                alive += group
        if not alive:
            break
        for lane in lanes:
            lane.close(length)
        alive = [(lane, start) for lane, start in alive if start + length + 1 < lane.limit[start]]
    return candidates


def _evaluate(group: list[tuple[_Lane, int]], length: int) -> _Found | None:
    """What a region saves, where it is one at two places or more."""
    whole = [(lane, start) for lane, start in group if lane.closed(start, length)]
    if group[0][0].chain(group[0][1], length):
        # A few operations in a row are no block inside another, unless that repeats them.
        inside = Counter(lane.rule.number for lane, _ in whole)
        whole = [place for place in whole if _top(place) or inside[place[0].rule.number] > 1]
    if len(whole) < 2 or length == 1:
        return None
    places: list[tuple[Rule, int]] = []
    lines, follows = 0, False
    previous: tuple[_Lane, int] | None = None
    starts = {(lane.rule.number, start) for lane, start in whole}
    for lane, start in whole:
        if (lane.rule.number, start + length) in starts and lane.follows(start, length):
            lane.mark_run(start, length)
        if previous and previous[0] is lane and start < previous[1] + length:
            continue
        joined = (
            previous is not None
            and previous == (lane, start - length)
            and lane.follows(start - length, length)
        )
        follows = follows or joined
        lines += not joined
        places.append((lane.rule, start))
        previous = (lane, start)
    lane, start = whole[0]
    if len(places) < 2 or lane.periodic(start, length):
        return None
    saves = len(places) * length - length - lines
    stage = lane.stage(start, length)
    # Two stages of a unit that is a rule already save nothing more, but are what a paper draws.
    drawn = saves == 0 and stage == 1 and lane.holds_run(start, length)
    return _Found(saves, follows, stage, length, places) if saves > 0 or drawn else None


def _top(place: tuple[_Lane, int]) -> bool:
    return place[0].rule.number == 0


def _shrinks(item: int | Run, ops: tuple[Op, ...]) -> bool:
    first = item if isinstance(item, int) else next(operations(item.copies[0]))
    return ops[first].kind != "upsample" and max(ops[first].get("stride", (1,))) > 1


class _Lane:
    """One rule's body while regions are compared in it."""

    def __init__(self, rule: Rule, found: Grammar) -> None:
        self.rule = rule
        size = len(rule)
        self.mark = [0] * size
        self.entry: list[int | None] = [None] * size
        self.open_until = [0] * size
        self.limit = [size + 1] * size
        self.vectors = [
            hash(tuple(vector(one[i], found) for one in rule.instances)) for i in range(size)
        ]
        self._runs: list[tuple[int, int]] = []
        self.run = [isinstance(item, Run) for item in rule.instances[0]]
        self.shrinks = [_shrinks(item, found.graph.ops) for item in rule.instances[0]]

    def extend(self, start: int, length: int) -> int | None:
        """Takes one more operation into the region; None where it has a second entry."""
        i = start + length - 1
        if i >= len(self.rule):
            return None
        if length == 1:
            self.mark[start], self.entry[start], self.open_until[start] = 0, None, 0
        else:
            self.open_until[start] = max(self.open_until[start], self.rule.last_use[i - 1])
        inside = []
        if not self.rule.inputs[i]:
            return None
        for j in self.rule.inputs[i]:
            if j >= start:
                inside.append(j - start)
                continue
            if self.entry[start] not in (None, j):
                return None
            self.entry[start] = j
            inside.append(-1)
        self.mark[start] = hash((self.mark[start], self.rule.symbols[i], tuple(inside)))
        return self.mark[start]

    def closed(self, start: int, length: int) -> bool:
        """Whether only the region's last operation is read from outside."""
        return self.open_until[start] < start + length

    def follows(self, start: int, length: int) -> bool:
        """Whether an equal region of equal widths goes on from this one's result alone."""
        middle, end = start + length, start + 2 * length
        return (
            end <= len(self.rule)
            and self.entry[middle] == middle - 1
            and self.rule.last_use[middle - 1] < end
            and self.vectors[start:middle] == self.vectors[middle:end]
        )

    def chain(self, start: int, length: int) -> bool:
        """Whether each operation of the region reads the one before it and nothing else."""
        return all(self.rule.inputs[i] == (i - 1,) for i in range(start + 1, start + length))

    def periodic(self, start: int, length: int) -> bool:
        """Whether the region is itself a shorter one several times over."""
        symbols = self.rule.symbols[start : start + length]
        return any(
            length % period == 0 and symbols[period:] == symbols[:-period]
            for period in range(1, length // 2 + 1)
        )

    def stage(self, start: int, length: int) -> int:
        """1 where only operations that read the entry change the size, -1 where another does."""
        changes = [i for i in range(start, start + length) if self.shrinks[i]]
        if not changes:
            return 0
        return 1 if all(min(self.rule.inputs[i]) < start for i in changes[:1]) else -1

    def holds_run(self, start: int, length: int) -> bool:
        """Whether a rule is among the region's operations."""
        return any(self.run[start : start + length])

    def mark_run(self, start: int, length: int) -> None:
        """Regions that hold this run whole wait until the run is a rule."""
        if length > 1:
            self._runs.append((start, start + 2 * length))

    def close(self, length: int) -> None:
        """Takes the runs found so far into the limits."""
        for start, end in self._runs:
            self.limit[start] = min(self.limit[start], end)
        self._runs.clear()
        least = len(self.rule) + 1
        for start in range(len(self.rule) - 1, -1, -1):
            least = min(least, self.limit[start])
            self.limit[start] = least


def line_count(found: Grammar, rule: Rule) -> int:
    """Lines of a rule's body, with the bodies of its own runs inside: one more for each loop."""
    total = 0
    for symbol in rule.symbols:
        inner = found.runs.get(symbol)
        total += 1 if inner is None else line_count(found, inner) + (len(inner) > 1)
    return total


def flat_lines(rule: Rule) -> int:
    """Lines that all occurrences take in a flat listing."""
    return sum(1 for instance in rule.instances for _ in operations(instance))
