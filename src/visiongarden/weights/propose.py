"""Proposing a rename for weights that were not matched, from names and shapes alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from visiongarden.weights.live import Owned
from visiongarden.weights.pair import pair
from visiongarden.weights.sources import Stored
from visiongarden.weights.torch_names import keras_path

# Every weight of one side is compared with every weight of the other; these limits keep the time
# short in which a failed transfer reports its error.
_MAX_PAIRS, _MAX_CANDIDATES = 250_000, 300
_MIN_WEIGHTS = 2


def proposed(left: Sequence[Stored], free: Sequence[Owned]) -> dict[str, str]:
    """Propose rules that replace the start of source names, if only one answer is possible.

    A rule is proposed if the weights below both prefixes, at least two on each side, correspond one
    to one with equal remaining names and shapes, and no other prefix fits. The rules are not
    applied; they become part of an error message, and the user decides.

    Args:
        left: Weights of the source without a counterpart in the target.
        free: Weights of the target without a counterpart in the source.

    Returns:
        Prefixes of the target's paths by prefix of the source's names.
    """
    # A numbered weight has no name to compare.
    left = [stored for stored in left if stored.position is None]
    if not left or not free or len(left) * len(free) > _MAX_PAIRS:
        return {}
    fitting = [c for c in _candidates(left, free) if _fits(*c, left, free)]
    olds, news = Counter(old for old, _ in fitting), Counter(new for _, new in fitting)
    unambiguous = [(old, new) for old, new in fitting if olds[old] == news[new] == 1]
    found: dict[str, str] = {}
    # A rule for "model" makes one for "model.0" redundant, so the shortest prefixes come first.
    for old, new in sorted(unambiguous, key=lambda each: len(each[0])):
        if not any(_below(old, known) for known in found):
            found[old] = new
    return found


def _candidates(left: Sequence[Stored], free: Sequence[Owned]) -> Iterable[tuple[str, str]]:
    """Return pairs of prefixes that make a pair of weights match, the most frequent ones first."""
    votes: Counter[tuple[str, str]] = Counter()
    for stored in left:
        steps = _steps(stored.name)
        for owned in free:
            if pair(stored, owned).fits():
                votes.update(_prefixes(stored.name, steps, owned.path.split("/")))
    return [prefixes for prefixes, _ in votes.most_common(_MAX_CANDIDATES)]


def _prefixes(name: str, steps: list[str], path: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the prefixes that remain after removing the common segments at the end of both names.

    The last segment, the name of the weight itself, always counts as common, because PyTorch and
    Keras name weights differently.
    """
    common = 1
    while common < min(len(steps), len(path)) and steps[-common - 1] == path[-common - 1]:
        common += 1
    old = _prefix(name, len(steps) - common)
    new = "/".join(path[: len(path) - common])
    if old != new:
        yield old, new


def _fits(old: str, new: str, left: Sequence[Stored], free: Sequence[Owned]) -> bool:
    below = {owned.path: owned for owned in free if _below(owned.path, new)}
    taken = set()
    inside = [stored for stored in left if _below(stored.name, old)]
    for stored in inside:
        rest = stored.name[len(old) :].lstrip("/.")
        name = f"{new}/{rest}" if new else rest
        path = keras_path(name, below) if stored.torch else name
        if path not in below or not pair(stored, below[path]).fits():
            return False
        taken.add(path)
    return len(taken) == len(inside) == len(below) >= _MIN_WEIGHTS


def _below(name: str, start: str) -> bool:
    return not start or (name.startswith(start) and name[len(start) : len(start) + 1] in "/.")


def _steps(name: str) -> list[str]:
    return re.split(r"[/.]", name)


def _prefix(name: str, count: int) -> str:
    """Return the first `count` segments of a name with their original separators."""
    return "".join(re.split(r"([/.])", name)[: max(0, 2 * count - 1)])
