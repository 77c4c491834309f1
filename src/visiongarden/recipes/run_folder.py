"""Folder of a run: choose it, check that a run may begin in it, and lock it against other runs."""

from __future__ import annotations

import errno
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from visiongarden.errors import UserError, option
from visiongarden.recipes.versions import ENVIRONMENT
from visiongarden.training import has_checkpoint

RECIPE = "recipe.yaml"
_ADVICE = (
    ({errno.ENOSPC, errno.EDQUOT}, "free some space"),
    ({errno.EROFS, errno.EACCES, errno.EPERM}, "make the folder writable"),
    ({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.EIO}, "restore the folder"),
)
"""What to do by the number of the system's error."""
_MAX_HISTORY = 64 * 2**20


def new_folder(base: Path, output: str | Path | None) -> Path:
    """Return the folder in which a run begins; created if it does not exist.

    A folder that holds only an unfinished first epoch (`is_unfinished`) is used again.

    Args:
        base: Default folder; if it exists, the first free one of `base-2`, `base-3`, ... is used.
        output: Folder that the user specified, if any.

    Raises:
        UserError: The folder holds a run, or a recipe that no run wrote.
    """
    if output is None:
        return free_folder(base)
    folder = Path(output)
    if (folder / RECIPE).exists() and not is_unfinished(folder):
        if not (folder / ENVIRONMENT).exists():
            raise UserError(
                f"{folder / RECIPE} was not written by a run",
                rule="a run overwrites only its own files",
                fix=option("output", str(folder / "run")),
            )
        raise UserError(
            f"{folder} already contains a run",
            rule="a run never overwrites another; resume it, or start in another folder, such as "
            f"{option('output', str(_next_free(folder)))}",
            fix=f"{command(folder)} --resume",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def resumed_folder(base: Path, output: str | Path | None) -> Path:
    """Return the folder of the run to resume: `output`, or the newest of `base`, `base-2`, ...

    Raises:
        UserError: The folder holds no run, or one without a checkpoint.
    """
    folder = Path(output) if output is not None else _newest(base)
    if not (folder / RECIPE).exists():
        raise UserError(
            f"{folder} contains no run to resume", fix=f"train without {option('resume')}"
        )
    if not has_checkpoint(folder) and not is_unfinished(folder):
        raise UserError(
            f"{folder} has no checkpoint to resume",
            rule="a run is resumed from its resume.npz, which does not exist",
            fix=command(folder, output=_next_free(folder)),
        )
    return folder


def is_unfinished(folder: Path) -> bool:
    """Return whether a run wrote into the folder but left nothing to resume or to use.

    Such a run was killed, diverged or ran out of disk space during its first epoch, possibly
    between writing `best.keras` and `resume.npz`. A finished run whose `resume.npz` was deleted is
    not unfinished.
    """
    if has_checkpoint(folder):
        return False
    files = {name for name in ("last.keras", "best.keras") if (folder / name).exists()}
    has_run_files = all((folder / name).is_file() for name in (RECIPE, ENVIRONMENT))
    if not has_run_files or files - {"best.keras"}:
        return False
    return _count_epochs(folder) <= 1 if (folder / "history.json").exists() else not files


def command(folder: Path, *overrides: str, output: Path | None = None) -> str:
    """Return the command that trains the recipe of a run, in its folder or in another one."""
    arguments = ["visiongarden", "train", str(folder / RECIPE), *overrides]
    return shlex.join([*arguments, "--output", str(output or folder)])


def free_folder(base: Path) -> Path:
    """Create and return `base`, or the first free one of `base-2`, `base-3`, ..."""
    folder = base if not base.exists() else _next_free(base)
    folder.mkdir(parents=True)
    return folder


def folder_error(folder: Path, error: OSError) -> UserError | None:
    """Return the error of a run that cannot write its files, or None if there is no advice.

    Args:
        folder: Folder of the run.
        error: What the system reported.
    """
    advice = next((text for numbers, text in _ADVICE if error.errno in numbers), None)
    if advice is None:
        return None
    kept = "the last checkpoint is complete" if has_checkpoint(folder) else "nothing was saved yet"
    return UserError(
        f"the run in {folder} ended, because a file could not be written: {error.strerror}",
        rule=f"a writable folder with enough space; {kept}",
        received=str(error.filename or folder),
        fix=f"{advice}, then: {command(folder)} --resume",
    )


def after_short_memory(folder: Path, batch_size: int | None) -> str | None:
    """Return the command that trains with a smaller batch size, or None if no size is smaller.

    A run keeps its batch size, so one that has a checkpoint is not continued.
    """
    if batch_size is None:
        return None
    other = _next_free(folder) if has_checkpoint(folder) else None
    return command(folder, f"training.batch_size={batch_size}", output=other)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder of a run against other processes; the lock ends with the process.

    Raises:
        UserError: Another process trains in the folder.
    """
    handle = _lock(folder)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _lock(folder: Path) -> int | None:
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    # `flock` on the folder itself: the system releases it however the process ends, where a lock
    # file would remain after a kill.
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise UserError(
            f"another process is training in {folder}",
            rule="one run per folder at a time; wait for it, or start in another folder",
            fix=option("output", str(_next_free(folder))),
        ) from error
    except OSError:  # a file system without locks
        os.close(handle)
        return None
    return handle


def _count_epochs(folder: Path) -> int:
    """Return the number of epochs in `history.json`, or 2 if it cannot be read.

    Two, so that a folder with an unreadable history counts as a run and is never overwritten.
    """
    path = folder / "history.json"
    with suppress(OSError, ValueError, TypeError, RecursionError):
        if path.stat().st_size <= _MAX_HISTORY:
            return len(json.loads(path.read_text(encoding="utf-8")))
    return 2


def _next_free(base: Path) -> Path:
    """Return the first free one of `base-2`, `base-3`, ..."""
    number = 2
    while (folder := base.with_name(f"{base.name}-{number}")).exists():
        number += 1
    return folder


def _newest(base: Path) -> Path:
    """Return the newest of `base`, `base-2`, `base-3`, ..."""
    number, folder = 1, base
    while base.with_name(f"{base.name}-{number + 1}").exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder
