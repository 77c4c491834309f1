"""Check names from files before they become paths: class names, splits, image names."""

from __future__ import annotations

import os
import re
from pathlib import Path

from visiongarden.errors import DataError

MAX_BYTES = 255
"""Longest file name on common file systems, in bytes of UTF-8."""

# Windows opens a device whatever suffix follows its name: `con.png` is the console.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.I | re.S)
_DRIVE = re.compile(r"[A-Za-z]:")


def safe_name(name: object, what: str = "a name") -> str:
    """Return a name from a file if it is safe as one component of a path.

    A dataset that is written on one system may be read on another, so the rules of Windows hold
    everywhere, except for the characters `<>:"|?*`, which are refused on Windows alone.

    Args:
        name: the name, without folders.
        what: description of the name and its source for messages, such as "set.csv:3: split".

    Raises:
        DataError: the name is empty, contains path separators or control characters, leads out of
            its folder, is a device or drive on Windows, or is longer than 255 bytes.

    Example:
        >>> safe_name("cat.png")
        'cat.png'
    """
    reason = _unsafe(name) if isinstance(name, str) else "not text"
    if reason:
        raise DataError(
            f"{what} is not a valid file name: {reason}",
            rule="one name without folders, drives and control characters, "
            f"at most {MAX_BYTES} bytes",
            received=f"{name!r:.80}",
            fix="rename it in the dataset",
        )
    return str(name)


def path_inside(folder: Path, *names: str, what: str = "a name") -> Path:
    """Return the path `folder / names` after checking that it is inside the folder.

    Args:
        folder: the folder that the path must not leave.
        *names: components of the path, each checked by `safe_name`.
        what: description of the names and their source, for messages.

    Raises:
        DataError: a name is unsafe, or a symbolic link leads out of the folder.
    """
    path = folder.joinpath(*(safe_name(name, what) for name in names))
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{what} is located outside {folder}",
            rule="a path inside the folder; symbolic links out of it are not followed",
            received=f"{path.parent.resolve()}",
        )
    return path


def name_of(path: str | Path) -> str:
    """Return the name of a file without its suffix, or of a folder, also for "." and "..".

    A symbolic link has its own name, not that of the folder that it leads to.

    Example:
        >>> name_of("images/scenes.zip"), name_of("images/scenes/val/..")
        ('scenes', 'scenes')
    """
    return Path(os.path.abspath(path)).stem  # noqa: PTH100  `resolve` follows links


def _unsafe(name: str) -> str | None:
    """Return why a name is unsafe, or None."""
    if not name or name in (".", ".."):
        return "it does not name a file"
    if "/" in name or "\\" in name:
        return "it contains a path separator"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name):
        return "it contains control characters"
    if _DRIVE.match(name) or (os.name == "nt" and set(name) & set('<>:"|?*')):
        return "Windows interprets it as a drive or a stream"
    if _DEVICE.fullmatch(name):
        return "Windows interprets it as a device"
    if name[-1] in ". ":
        return "Windows removes the dot or space at its end"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not Unicode text"
    return f"it has {size} bytes" if size > MAX_BYTES else None
