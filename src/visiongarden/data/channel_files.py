"""Find the files of an image that is stored as one file per channel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from visiongarden.data.readers.build import ENDINGS, names_in
from visiongarden.errors import DataError

# Microscopes add a new UUID (RFC 9562) to the name of each file, some in brackets.
_UUID = re.compile(
    r"[\[{(]?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}[\])}]?", re.IGNORECASE
)


def images(paths: Iterable[Any], parts: Sequence[str]) -> list[Any]:
    """Return the file of the first channel of each image, in order.

    The files of one image have names that are equal apart from the part of the channel, and from a
    UUID.

    Args:
        paths: files of all channels; files without a part in their names are not used.
        parts: part of the name for each channel.

    Raises:
        DataError: no name contains a part, a channel of an image is missing, or it has two files.
    """
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for path in paths:
        found = _split(path.name, parts)
        if found is None:
            continue
        part, key = found
        group = groups.setdefault((str(path.parent), key), {})
        if part in group:
            raise DataError(
                f"{group[part]} and {path.name} are the same channel of one image",
                rule=f"one file per image with {part!r} in its name",
                fix="remove one of them",
            )
        group[part] = path
    if not groups:
        raise DataError(
            "no image has the name of a channel",
            rule=f"file names that contain {_listed(parts)}",
        )
    for group in groups.values():
        missing = [part for part in parts if part not in group]
        if missing:
            raise _missing(next(iter(group.values())), missing)
    return [group[parts[0]] for group in groups.values()]


def files_of(path: Any, parts: Sequence[str]) -> list[Any]:
    """Return the files of all channels of an image.

    Args:
        path: file of any of its channels.
        parts: part of the name for each channel.

    Raises:
        DataError: the name contains no part, a file is missing, or a channel has two files.
    """
    found = _split(path.name, parts)
    if found is None:
        raise DataError(
            f"{path}: the name is not that of a channel",
            rule=f"a file name that contains one of {_listed(parts)}, once",
        )
    own, key = found
    if not _UUID.search(path.name):
        files = [path.parent / _replaced(path.name, own, part) for part in parts]
        missing = [part for part, file in zip(parts, files, strict=True) if not file.is_file()]
        if missing:
            raise _missing(path, missing)
        return files
    names = _by_key(path.parent, tuple(parts)).get(key, ())
    found_files = {}
    for part in parts:
        same = [name for name in names if _split(name, parts) == (part, key)]
        if not same:
            raise _missing(path, [part])
        if len(same) > 1:
            raise DataError(
                f"{path.parent / same[0]} and {same[1]} are the same channel of one image",
                rule=f"one file per image with {part!r} in its name",
                fix="remove one of them",
            )
        found_files[part] = path.parent / same[0]
    return [path if part == own else found_files[part] for part in parts]


@lru_cache(maxsize=64)
def _listing(folder: Any, changed: int, parts: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the names of the files of each image in a folder."""
    names: dict[str, list[str]] = {}
    for name in names_in(folder):
        found = _split(name, parts) if Path(name).suffix.lower() in ENDINGS else None
        if found is not None:
            names.setdefault(found[1], []).append(name)
    return names


def _by_key(folder: Any, parts: tuple[str, ...]) -> dict[str, list[str]]:
    # An archive that changed is opened again by `storage.place`.
    changed = folder.stat().st_mtime_ns if isinstance(folder, Path) else 0
    return _listing(folder, changed, parts)


def _split(name: str, parts: Sequence[str]) -> tuple[str, str] | None:
    """Return the part in a name, and what the names of the other channels share with it.

    None if the name contains no part, or two. Of `_w1` and `_w10`, the longer one counts.
    """
    plain = _UUID.sub("*", name)
    found = [part for part in parts if part in plain]
    longest = [part for part in found if not any(part != o and part in o for o in found)]
    if len(longest) != 1 or plain.count(longest[0]) != 1:
        return None
    return longest[0], plain.replace(longest[0], "\0")


def _replaced(name: str, part: str, other: str) -> str:
    return name.replace(part, other)


def _missing(path: Any, parts: Sequence[str]) -> DataError:
    return DataError(
        f"{path}: the image has no file for {_listed(parts)}",
        rule="one file per channel in the same folder, with names that differ in that part only",
        fix="add the file, or remove the other channels of the image",
    )


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(map(repr, parts))
