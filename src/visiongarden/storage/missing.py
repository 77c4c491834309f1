"""Errors of missing files: `check_file`, and `similar` for the fix of another error."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from visiongarden.errors import UserError, closest

_COMPARED = 10_000
"""Maximum number of names in a folder that are compared with the name of a missing file."""


def check_file(
    path: Path, kind: str, endings: Sequence[str], error: type[UserError] = UserError
) -> None:
    """Raise an error unless there is a file at `path`.

    Args:
        path: Path of the file.
        kind: What the file is, such as "model file".
        endings: Endings of the names of such files, such as (".keras",).
        error: Class of the error.

    Raises:
        UserError: There is no file. Its fix names files of this kind in a folder that was given
            instead, or similar names beside a missing file.

    Example:
        >>> check_file(Path("none.cfg"), "cfg", (".cfg",))
        Traceback (most recent call last):
        visiongarden.errors.UserError: there is no cfg none.cfg
          fix: check the path
    """
    try:
        if path.is_file():
            return
        is_folder = path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or has a null character
        is_folder = False
    if is_folder:
        names = _names(path, endings)
        raise error(
            f"{path} is a folder",
            rule=f"a {kind} ({', '.join(endings)})",
            received="no such file in the folder" if not names else None,
            fix=" or ".join(str(path / name) for name in names[:3]) or None,
        )
    raise error(f"there is no {kind} {str(path)[:200]}", fix=similar(path, endings))


def similar(path: Path, endings: Sequence[str] = ("",)) -> str:
    """Return a fix for a path that does not exist: existing paths with similar names.

    A folder in the path may be misspelled as well as the name at its end.

    Args:
        path: The path.
        endings: Endings of the names that may have been meant; by default all names.

    Example:
        >>> similar(Path("none.cfg"))
        'check the path'
    """
    missing, rest = path, Path()
    while not _exists(missing.parent):
        missing, rest = missing.parent, missing.name / rest
    names = _names(missing.parent, endings if missing == path else ("",))
    others = [missing.with_name(name) / rest for name in closest(missing.name, names)]
    found = [str(other) for other in others if _exists(other)]
    return f"did you mean {', '.join(found)}?" if found else "check the path"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _names(folder: Path, endings: Sequence[str]) -> list[str]:
    """Return the names of the files in a folder that have one of these endings."""
    try:
        found = [path.name for path in islice(folder.iterdir(), _COMPARED)]
    except (OSError, ValueError):
        return []
    return sorted(name for name in found if name.lower().endswith(tuple(endings)))
