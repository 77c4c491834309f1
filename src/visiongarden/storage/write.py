"""Atomic writes: a file or folder gets its name when it is complete, or not at all.

A draft is created beside its target under a name that nobody can foretell, and only if nothing has
that name (`O_EXCL`), so that a link which somebody planted in a shared folder is never followed. A
link at the target itself is replaced, and what it points to stays as it is. The system applies the
umask; nothing remains after a failure.
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
_FLAGS |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def atomic_write(
    path: str | Path, content: Content, *, overwrite: bool = True, durable: bool = True
) -> Path:
    """Write a file atomically; missing folders are created.

    Args:
        path: the file.
        content: bytes, text (written as UTF-8), or a function that fills an open binary stream.
        overwrite: whether a file of that name is replaced.
        durable: whether the data are on the disk before the name is given, so that a power failure
            leaves the old file or the new one. Off where a file is quickly made again.

    Raises:
        FileExistsError: `overwrite` is off and there is such a file.
        OSError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_of(path)
    try:
        # 0o666 and not chmod: the system applies the umask, which Python can only read by setting.
        with os.fdopen(os.open(draft, _FLAGS, 0o666), "wb") as stream:
            _fill(stream, content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        _rename(draft, path, overwrite)
        if durable:
            _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)
    return path


@contextmanager
def atomic_path(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a path for libraries that open files by name; after the block it becomes `path`.

    The draft has the target's name, in a folder that is the user's alone.

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
    """Yield an empty folder beside `path` that gets its name after the block.

    Raises:
        FileExistsError: there is something at `path`, an empty folder excepted.
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
    """Remove the drafts that killed processes left in a folder; no other process may write there.

    A checkpoint's draft may be as large as the space that its next one lacks.
    """
    for path in folder.iterdir():
        if _DRAFT.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _draft_of(path: Path) -> Path:
    # Short, whatever the target's name: both must fit into the file system's 255 bytes.
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
        draft.rename(path)  # refuses an existing name there
    else:
        os.link(draft, path)  # fails where the file has come into being meanwhile


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable; systems that cannot open folders do it themselves."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
