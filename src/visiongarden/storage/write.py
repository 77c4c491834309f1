"""Write files and folders atomically: they get their name when they are complete, or not at all.

A draft is created beside its target under an unpredictable name, and only if no file has that name
(`O_EXCL`), so that a symbolic link planted in a shared folder is never followed. A link at the
target is replaced, and the file that it points to is unchanged. The draft is removed after a
failure.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

Content = bytes | str | Callable[[BinaryIO], object]

_DRAFT = re.compile(r"\.[0-9a-f]{24}\.draft")

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL
# Each of these is missing on some operating system.
_FLAGS |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def atomic_write(
    path: str | Path,
    content: Content,
    *,
    overwrite: bool = True,
    durable: bool = True,
    previous: Path | None = None,
) -> Path:
    """Write a file atomically, creating missing folders.

    Args:
        path: the file.
        content: bytes, text (written as UTF-8), or a function that writes to an open binary stream.
        overwrite: whether to replace an existing file.
        durable: whether to flush the data to the disk before renaming the draft, so that a power
            failure leaves either the old or the new file. Switch it off for files that are quickly
            written again.
        previous: name in the same folder that the replaced file keeps, once the new one is
            complete; a file of that name is replaced.

    Returns:
        The path.

    Raises:
        FileExistsError: `overwrite` is off and the file exists.
        OSError: the folder is not writable, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_of(path)
    try:
        # The system applies the umask to 0o666. With `chmod`, Python would need the umask, which
        # can only be read by setting it for the whole process.
        with os.fdopen(os.open(draft, _FLAGS, 0o666), "wb") as stream:
            _fill(stream, content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        if previous is not None:
            with suppress(FileNotFoundError):
                path.replace(previous)
        _rename(draft, path, overwrite)
        if durable:
            _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)
    return path


@contextmanager
def atomic_path(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a draft path for libraries that open files by name, and rename it after the block.

    The draft has the name of the target, hence the same suffix, in a folder that only the user can
    enter.

    Args:
        path: the file.
        durable: as in `atomic_write`.

    Raises:
        OSError: as `atomic_write`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = _draft_of(path)
    folder.mkdir(mode=0o700)
    try:
        draft = folder / path.name
        yield draft
        if durable:
            with draft.open("rb+") as stream:
                os.fsync(stream.fileno())
        draft.replace(path)
        if durable:
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty draft folder and rename it to `path` after the block.

    Raises:
        FileExistsError: `path` exists and is not an empty folder.
        OSError: as `atomic_write`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_of(path)
    draft.mkdir()
    try:
        yield draft
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise FileExistsError(f"{path} exists already")
        with suppress(FileNotFoundError):
            path.rmdir()  # fails unless it is empty
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder.

    No other process may be writing to the folder. A draft that is left behind by a checkpoint can
    take the space that the next checkpoint needs.
    """
    for path in folder.iterdir():
        if _DRAFT.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _draft_of(path: Path) -> Path:
    # The name has a fixed length, because one derived from the target's could exceed 255 bytes.
    return path.with_name(f".{secrets.token_hex(12)}.draft")


def _fill(stream: BinaryIO, content: Content) -> None:
    if callable(content):
        content(stream)
    else:
        stream.write(content.encode() if isinstance(content, str) else content)


def _rename(draft: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        draft.replace(path)
    elif os.name == "nt":
        draft.rename(path)  # on Windows, raises if the target exists
    else:
        os.link(draft, path)  # raises if the target exists, where `rename` would replace it


def _sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, which makes a new name durable; Windows cannot open folders."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
