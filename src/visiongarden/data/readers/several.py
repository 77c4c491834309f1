"""Entries of a list of datasets that `read` combines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visiongarden.errors import UserError, nearest

_OPTIONS = ("split", "reader", "invalid_boxes", "class_names")
_OF_PARTS = ("weight", "classes", "fields")
_EXAMPLE = 'vg.read([{"path": "cats", "weight": 2}, "dogs"])'


@dataclass(frozen=True)
class Entry:
    """One dataset of a list.

    Attributes:
        path: Its location, as for `read`.
        options: Arguments of `read`.
        of_part: Fields of `visiongarden.data.combined.Part`.
    """

    path: str | Path
    options: Mapping[str, Any]
    of_part: Mapping[str, Any]


def entries_of(given: Sequence[Any], defaults: Mapping[str, Any]) -> Iterator[Entry]:
    """Return the datasets of a list.

    Args:
        given: Paths, or mappings with `path` and options.
        defaults: Arguments of `read` for the options that a mapping leaves out.

    Raises:
        UserError: An entry is neither a path nor a mapping with `path`, or has an unknown key.
    """
    if not given:
        raise UserError("the list of datasets is empty", rule="at least one dataset", fix=_EXAMPLE)
    for number, each in enumerate(given, 1):
        entry = {"path": each} if isinstance(each, str | Path) else each
        if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str | Path):
            raise UserError(
                f"dataset {number} of the list has no path",
                rule="a path, or a mapping with `path`",
                received=f"{each!r:.80}",
                fix=_EXAMPLE,
            )
        known = ("path", *_OPTIONS, *_OF_PARTS)
        for key in entry:
            if key not in known:
                raise UserError(
                    f"dataset {number} of the list has an unknown key {key!r}",
                    fix=nearest(str(key), known),
                )
        for key in ("class_names", "classes", "fields"):
            _check_names(number, key, entry.get(key))
        options = {key: entry[key] for key in _OPTIONS if key in entry}
        of_part: dict[str, Any] = {key: entry[key] for key in _OF_PARTS if key in entry}
        for key in ("classes", "fields"):
            if of_part.get(key) is not None:
                of_part[key] = tuple(of_part[key])
        yield Entry(entry["path"], {**defaults, **options}, of_part)


def _check_names(number: int, key: str, names: Any) -> None:
    is_list = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if names is not None and not is_list:
        raise UserError(
            f"dataset {number} of the list: {key} is not a list of names",
            received=f"{names!r:.80}",
            fix=f'"{key}": ["cat", "dog"]',
        )
