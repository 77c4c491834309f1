"""Checkpoint files of a run: the newest one, and the one before it.

Each file is a `.npz` archive with everything that a run continues from. The archive stores a
checksum of each array, which is verified before anything is restored.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from visiongarden.errors import UserError, option
from visiongarden.progress import LOGGER
from visiongarden.storage import atomic_write

FILE, PREVIOUS = "resume.npz", "resume.previous.npz"


def has_checkpoint(folder: Path) -> bool:
    """Return whether a folder has a file to resume from, damaged or not."""
    return any((folder / name).exists() for name in (FILE, PREVIOUS))


def write_checkpoint(
    folder: Path, arrays: Mapping[str, np.ndarray], keeps_newest: bool = True
) -> None:
    """Write the newest checkpoint, atomically.

    Args:
        folder: Folder of the run.
        arrays: Arrays by name.
        keeps_newest: Whether the newest checkpoint so far becomes the one before; False replaces a
            damaged one and leaves the one before as it is.

    Raises:
        OSError: The folder is not writable, or the disk is full; both checkpoints are kept.
    """
    atomic_write(
        folder / FILE,
        lambda stream: np.savez(stream, **arrays),  # type: ignore[arg-type]
        previous=folder / PREVIOUS if keeps_newest else None,
    )


def newest_checkpoint(folder: Path) -> Path:
    """Return the newest checkpoint that is complete, with a warning if it is not the newest file.

    Raises:
        UserError: There is no checkpoint, or all are damaged.
    """
    newest, previous = folder / FILE, folder / PREVIOUS
    if not has_checkpoint(folder):
        raise UserError(
            f"{folder} has no checkpoint to resume",
            rule=f"an interrupted run writes {FILE} to its folder",
            fix=f"train without {option('resume')}, or name the run's folder: {option('output')}",
        )
    # A process that was killed between the two names of a checkpoint leaves the one before alone.
    damage = damage_of(newest) if newest.exists() else None
    if newest.exists() and damage is None:
        return newest
    if previous.exists() and damage_of(previous) is None:
        if damage is not None:
            LOGGER.warning(
                f"{newest} is damaged ({damage}): the run continues from the checkpoint before it, "
                f"{previous}"
            )
        return previous
    files = [file for file in (newest, previous) if file.exists()]
    raise UserError(
        " and ".join(str(file) for file in files)
        + (" is" if len(files) == 1 else " are")
        + " not a complete checkpoint",
        received="; ".join(str(damage_of(file)) for file in files),
        fix="train in another folder, without resuming",
    )


def damage_of(file: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None if the checksums of all its arrays match."""
    try:
        with zipfile.ZipFile(file) as archive:
            # A compressed member could take any memory; `savez` compresses none.
            packed = [i.filename for i in archive.infolist() if i.compress_type]
            if packed:
                return f"{packed[0]:.60} is compressed"
            damaged = archive.testzip()
            return None if damaged is None else f"the checksum of {damaged:.60} does not agree"
    except Exception as error:  # zipfile raises many types for a damaged file
        return f"{type(error).__name__}: {error}"[:200]
