"""Meaning of keypoints from their names: which points a mirror swaps."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")


def pairs_of(names: Sequence[str]) -> tuple[tuple[int, int], ...] | None:
    """Return the indices of left and right points, from names that differ only in the side.

    The side is one word of the name, `left` or `right`, or `l` or `r`, anywhere in it: `left_eye`,
    `eye_left`, `l_eye`, `EyeLeft`, `L eye`.

    Args:
        names: names of the points; none if they are unknown.

    Returns:
        The pairs; () if no name has a side. None if it cannot be known: there are no names, they
        are only numbers or letters, or a point of one side has no partner.

    Example:
        >>> pairs_of(("nose", "left_eye", "right_eye"))
        ((1, 2),)
    """
    if not names or not all(any(len(word) > 1 for word in _letters(name)) for name in names):
        return None
    split = [_split(name) for name in names]
    places = {key: index for index, key in enumerate(split) if key is not None}
    if len(places) != sum(key is not None for key in split):
        return None  # two names of the same meaning
    pairs = []
    for (rest, side), index in places.items():
        partner = places.get((rest, "right" if side == "left" else "left"))
        if partner is None:
            return None
        if side == "left":
            pairs.append((index, partner))
    return tuple(sorted(pairs))


def _letters(name: str) -> list[str]:
    return [word for word in _WORD.findall(name) if not word.isdecimal()]


def _split(name: str) -> tuple[tuple[str, ...], str] | None:
    """Return the words of a name with the side marked, and the side; None without one side."""
    words = [word.lower() for word in _WORD.findall(name)]
    sides = [index for index, word in enumerate(words) if word in _SIDES]
    if len(sides) != 1:
        return None
    (place,) = sides
    return (*words[:place], "*", *words[place + 1 :]), _SIDES[words[place]]
