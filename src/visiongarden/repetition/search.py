"""Greedy search for repeats.

The region that saves most lines becomes a rule, until no region saves a line.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from visiongarden.graphs import Graph, Op
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
"""Maximum length of compared regions, in positions.

It keeps the search time linear in the number of operations. A longer region is found once its own
repeats have become rules.
"""


@dataclass(frozen=True)
class _Candidate:
    saves: int
    run: bool
    stage: int
    length: int
    places: list[tuple[Rule, int]]


def search(graph: Graph) -> Grammar:
    """Compress a graph into a grammar.

    Runs of one operation, such as the convolutions of VGG, may hide a better region or reveal one.
    Both variants are searched, and the smaller grammar is returned.
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
    """Turn consecutive equal convolutions into runs; return whether there are any."""
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


def _best(found: Grammar) -> _Candidate | None:
    """Return the region that saves most lines.

    Ties go to a run, then to a region that begins with a change of the size, as papers draw stages,
    then to the shorter region, then to the earlier one.
    """
    best: _Candidate | None = None
    for candidate in _candidates(found):
        if best is None or _rank(candidate) > _rank(best):
            best = candidate
    return best


def _rank(candidate: _Candidate) -> tuple[int, bool, int, int]:
    return candidate.saves, candidate.run, candidate.stage, -candidate.length


def _candidates(found: Grammar) -> list[_Candidate]:
    # Regions grow by one position per iteration, from starts whose shorter region occurs at least
    # twice: a region can only repeat if its beginning does.
    lanes = [_Lane(rule, found) for rule in found.rules if len(rule) > 1]
    active = [(lane, start) for lane in lanes for start in range(len(lane.rule))]
    candidates = []
    for length in range(1, WINDOW + 1):
        groups: dict[int, list[tuple[_Lane, int]]] = defaultdict(list)
        for lane, start in active:
            mark = lane.extend(start, length)
            if mark is not None:
                groups[mark].append((lane, start))
        active = []
        for group in groups.values():
            if len(group) > 1:
                if candidate := _evaluate(group, length):
                    candidates.append(candidate)
                active += group
        if not active:
            break
        for lane in lanes:
            lane.close(length)
        # A region must not contain a whole run that is not a rule yet; it would repeat the run's
        # copies.
        active = [(lane, start) for lane, start in active if start + length + 1 < lane.limit[start]]
    return candidates


def _evaluate(group: list[tuple[_Lane, int]], length: int) -> _Candidate | None:
    """Return what a region saves as a rule; None if it is no valid candidate.

    A candidate occurs at least twice without overlap, and only its last operation is read outside.
    """
    whole = [(lane, start) for lane, start in group if lane.closed(start, length)]
    if group[0][0].chain(group[0][1], length):
        # Without branches, a short sequence inside another block is no block; it only becomes one
        # if that block repeats it.
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
        # Occurrences in sequence form a run, which is called in one line.
        follows = follows or joined
        lines += not joined
        places.append((lane.rule, start))
        previous = (lane, start)
    lane, start = whole[0]
    if len(places) < 2 or lane.periodic(start, length):
        return None
    saves = len(places) * length - length - lines
    stage = lane.stage(start, length)
    # Stages that contain a run save no line if there are two, but papers draw them as stages.
    is_stage = saves == 0 and stage == 1 and lane.holds_run(start, length)
    return _Candidate(saves, follows, stage, length, places) if saves > 0 or is_stage else None


def _top(place: tuple[_Lane, int]) -> bool:
    return place[0].rule.number == 0


def _shrinks(item: int | Run, ops: tuple[Op, ...]) -> bool:
    first = item if isinstance(item, int) else next(operations(item.copies[0]))
    return ops[first].kind != "upsample" and max(ops[first].get("stride", (1,))) > 1


class _Lane:
    """State of the comparison of regions within the body of one rule, per start position."""

    def __init__(self, rule: Rule, found: Grammar) -> None:
        self.rule = rule
        size = len(rule)
        # Per start: hash of the signature, entry, last reader of an inner position, end limit.
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
        """Extend the region by one operation; return its hash, or None if it has a second entry."""
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
        """Return whether only the region's last operation is read outside."""
        return self.open_until[start] < start + length

    def follows(self, start: int, length: int) -> bool:
        """Return whether an equal region with equal widths follows, which reads only this one."""
        middle, end = start + length, start + 2 * length
        return (
            end <= len(self.rule)
            and self.entry[middle] == middle - 1
            and self.rule.last_use[middle - 1] < end
            and self.vectors[start:middle] == self.vectors[middle:end]
        )

    def chain(self, start: int, length: int) -> bool:
        """Return whether each operation of the region reads only the one before it."""
        return all(self.rule.inputs[i] == (i - 1,) for i in range(start + 1, start + length))

    def periodic(self, start: int, length: int) -> bool:
        """Return whether the region itself consists of repetitions of a shorter one."""
        symbols = self.rule.symbols[start : start + length]
        return any(
            length % period == 0 and symbols[period:] == symbols[:-period]
            for period in range(1, length // 2 + 1)
        )

    def stage(self, start: int, length: int) -> int:
        """Return 1 if the first downsampling reads the entry, -1 if it does not, 0 without one."""
        changes = [i for i in range(start, start + length) if self.shrinks[i]]
        if not changes:
            return 0
        return 1 if all(min(self.rule.inputs[i]) < start for i in changes[:1]) else -1

    def holds_run(self, start: int, length: int) -> bool:
        """Return whether the region contains a run."""
        return any(self.run[start : start + length])

    def mark_run(self, start: int, length: int) -> None:
        """Remember a run; longer regions that contain all of it wait until the run is a rule."""
        if length > 1:
            self._runs.append((start, start + 2 * length))

    def close(self, length: int) -> None:
        """Apply the runs found so far to the limits."""
        for start, end in self._runs:
            self.limit[start] = min(self.limit[start], end)
        self._runs.clear()
        limit = len(self.rule) + 1
        for start in range(len(self.rule) - 1, -1, -1):
            limit = min(limit, self.limit[start])
            self.limit[start] = limit


def line_count(found: Grammar, rule: Rule) -> int:
    """Return the lines of a rule's body, including nested bodies and one line per loop."""
    total = 0
    for symbol in rule.symbols:
        inner = found.runs.get(symbol)
        total += 1 if inner is None else line_count(found, inner) + (len(inner) > 1)
    return total


def flat_lines(rule: Rule) -> int:
    """Return the lines of all occurrences without any block, one per operation."""
    return sum(1 for instance in rule.instances for _ in operations(instance))
