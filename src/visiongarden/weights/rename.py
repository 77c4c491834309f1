"""Rules that rename the weights of a source to the names of the target."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from visiongarden.errors import UserError, nearest
from visiongarden.weights.indices import BRACES, computed, group, in_ranges

Rename = Mapping[str, str] | Callable[[str], str]
"""Rules from old to new prefix, applied in order, or a function from name to name."""

_STAR = r"\*\*|\*"
_STARS = {"*": r"([^/.]+)", "**": r"([^/.]+(?:[/.][^/.]+)*?)", "/": "[/.]", ".": "[/.]"}


def renamed(names: Iterable[str], rename: Rename | None) -> dict[str, str]:
    """Apply a rename to names of weights.

    A rule `"old": "new"` replaces a prefix of whole segments: `"model.0": "stem"` turns
    "model.0.weight" into "stem.weight" and does not match "model.01.weight". `*` matches one
    segment or a part of it, `**` one or more segments; wildcards in the new prefix are replaced by
    the matches in order. `{n}` matches an integer, and `{n=1..4}` one of a range; the new prefix
    may compute with it: `"layer{n}.{i}": "stage{n+1}/unit{i+1}"`. The empty prefix matches every
    name: `"": "backbone"` prepends a segment.

    Args:
        names: Names of the source's weights.
        rename: Rules, a function, or None.

    Returns:
        The new names by old name.

    Raises:
        UserError: If a rule matches no name, or has more wildcards in the new prefix than in the
            old one.
    """
    found = {name: name for name in names}
    if rename is None:
        return found
    if not isinstance(rename, Mapping):
        return {name: str(rename(name)) for name in found}
    for old, new in rename.items():
        change = _rule(old, new)
        after = {name: change(now) for name, now in found.items()}
        if found and after == found and old != new:
            raise UserError(
                f"the rename rule {old!r} matches no weight of the source",
                rule="a prefix of whole segments; * matches within one, ** matches one or more",
                fix=nearest(old, _prefixes(found.values(), old)),
            )
        found = after
    return found


def parse_renames(written: Iterable[str]) -> dict[str, str]:
    """Parse rules written as "old=new".

    Raises:
        UserError: If a text contains no "=", or a prefix is duplicate.
    """
    found: dict[str, str] = {}
    for text in written:
        old, equals, new = text.partition("=")
        if not equals or old in found:
            raise UserError(
                f"{text!r} is not a rename rule"
                if not equals
                else f"the rename rule {old!r} is duplicate",
                rule="OLD=NEW, one for each prefix of a name",
                fix="--rename model.0=backbone/stem",
            )
        found[old] = new
    return found


def selected(paths: Iterable[str], patterns: str | Iterable[str]) -> frozenset[str]:
    """Return the paths that one of the patterns selects.

    Args:
        paths: Paths of weights.
        patterns: Prefixes of whole segments, such as "backbone" or "**/stem"; `*` matches one
            segment or a part of it, `**` one or more segments.

    Raises:
        UserError: If a pattern matches no path.
    """
    paths = list(paths)
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        compiled = _pattern(pattern.rstrip("/."))
        matching = {path for path in paths if compiled.fullmatch(path)}
        if not matching:
            raise UserError(
                f"the pattern {pattern!r} matches no weight of the model",
                rule="a prefix of whole segments; * matches within one, ** matches one or more",
                fix=nearest(pattern, _prefixes(paths, pattern)),
            )
        found |= matching
    return frozenset(found)


def _pattern(prefix: str) -> re.Pattern[str]:
    """Compile a prefix; there is a group for each wildcard, and one for what follows the prefix."""
    # "/" and "." match each other, so that one rule covers names of PyTorch and Keras.
    pieces = [piece for piece in re.split(rf"({BRACES}|{_STAR}|[/.])", prefix) if piece]
    known: set[str] = set()
    pattern = "".join(
        group(piece, known) if piece[0] == "{" else _STARS.get(piece) or re.escape(piece)
        for piece in pieces
    )
    end = r"(?P<REST>(?:[/.].*)?)" if prefix else r"(?P<REST>.*)"
    return re.compile(pattern + end, re.DOTALL)


def prefix_rule(old: str, new: str) -> Callable[[str], str | None]:
    """Return a function that replaces a prefix of a name, and returns None for other names.

    Raises:
        UserError: If the new prefix has more wildcards than the old one, or an invalid index.
    """
    old, new = old.rstrip("/."), new.rstrip("/.")
    stars = re.findall(_STAR, old)
    if len(re.findall(_STAR, re.sub(BRACES, "", new))) > len(stars):
        raise UserError(
            f"the rename rule {old!r} = {new!r} has more wildcards on the right than on the left",
            fix="remove wildcards on the right; each repeats the match of one on the left",
        )
    compiled = _pattern(old)
    indices = [name for name in compiled.groupindex if name != "REST"]
    for braces in re.findall(BRACES, new):
        computed(braces, dict.fromkeys(indices, "1"))

    def change(name: str) -> str | None:
        match = compiled.fullmatch(name)
        if match is None:
            return None
        named = match.groupdict()
        if not in_ranges(old, named):
            return None
        rest = named.pop("REST")
        if not old:
            return f"{new}/{name}" if new else name
        inside = set(compiled.groupindex.values())
        values = [match[i] for i in range(1, compiled.groups + 1) if i not in inside]
        start = _filled(new, values, named)
        return start + rest if start else rest[1:]

    return change


def _rule(old: str, new: str) -> Callable[[str], str]:
    change = prefix_rule(old, new)

    def changed(name: str) -> str:
        after = change(name)
        return name if after is None else after

    return changed


def _filled(new: str, values: list[str], indices: Mapping[str, str]) -> str:
    pieces = re.split(f"({BRACES}|{_STAR})", new)
    return "".join(
        computed(piece, indices)
        if piece[:1] == "{"
        else values.pop(0)
        if piece in ("*", "**")
        else piece
        for piece in pieces
    )


def _prefixes(names: Iterable[str], like: str) -> set[str]:
    depth = len(re.split(r"[/.]", like))
    found = set()
    for name in names:
        steps = re.split(r"([/.])", name)
        found.add("".join(steps[: 2 * depth - 1]))
    return set(sorted(found)[:20])
