"""`use_compilation_cache`: programs that JAX has compiled, kept for the next process.

**Why.** JAX compiles a training step for most of a minute, and the same step again in each process.
It can keep compiled programs in a folder, but writes them in place: a process that is killed
meanwhile leaves a damaged entry, about which every later process warns. So each process has a
folder that starts with links to all entries, and new entries are linked to the common folder when
the process ends. **Gain:** a detector of YOLOv8n's size: first training step after 7 s of processor
time instead of 43. **Switch:** `compilation_cache`, or `VISIONGARDEN_CACHE=off`; a folder that
the user has given JAX is left as it is.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import platform
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import keras

from visiongarden.backends.half_precision import processor_flags
from visiongarden.backends.switches import is_on
from visiongarden.caches import cache_folder

_MIN_SECONDS = 0.5
"""Compilations that take less time are not kept."""

_MAX_BYTES = 2**29
"""Size of the common folder above which the entries that were written first are removed."""

_STALE = 30 * 24 * 3600
"""Age in seconds of the folder of a process from which it counts as left by a killed one."""

_OWN = "process-"
_ENTRIES = "*-cache"
"""Pattern of the files that JAX writes for one program each."""


@functools.cache
def use_compilation_cache() -> None:
    """Let JAX keep compiled programs; does nothing with another backend, or if it is not possible.

    A program depends on the processor and on the version of JAX, so each combination has its own
    folder.
    """
    if keras.backend.backend() != "jax" or not is_on("compilation_cache"):
        return
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    if jax.config.jax_compilation_cache_dir is not None:
        return
    base = cache_folder("jax")
    if base is None:
        return
    common = base / _machine(jax.__version__)
    with suppress(OSError):  # without a cache, everything is only slower
        common.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(common):
            return
        _remove_stale(common)
        own = Path(tempfile.mkdtemp(prefix=_OWN, dir=common))
        for entry in common.glob(_ENTRIES):
            os.link(entry, own / entry.name)
        jax.config.update("jax_compilation_cache_dir", str(own))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)
        # XLA's own caches would make the folder, and so each process, a part of the keys.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
        # JAX decides at its first compilation, which may be past, whether there is a cache.
        compilation_cache.reset_cache()
        atexit.register(_publish, own, common, os.getpid())


def _machine(version: str) -> str:
    described = [version, platform.machine(), *sorted(processor_flags())]
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:16]


def _is_private(folder: Path) -> bool:
    """Return whether nobody else can write to a folder: what it contains is executed."""
    if os.name != "posix":
        return False
    status = folder.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _publish(own: Path, common: Path, process: int) -> None:
    """Link the new entries of a process to the common folder, and remove its folder."""
    if os.getpid() != process:  # a fork inherits what its parent has registered
        return
    with suppress(OSError):
        for entry in own.glob(_ENTRIES):
            with suppress(FileExistsError):
                os.link(entry, common / entry.name)
        shutil.rmtree(own, ignore_errors=True)
        _limit(common)


def _limit(common: Path) -> None:
    entries = sorted(common.glob(_ENTRIES), key=lambda entry: entry.stat().st_mtime)
    excess = sum(entry.stat().st_size for entry in entries) - _MAX_BYTES
    for entry in entries:
        if excess <= 0:
            return
        excess -= entry.stat().st_size
        entry.unlink(missing_ok=True)


def _remove_stale(common: Path) -> None:
    for folder in common.glob(f"{_OWN}*"):
        if time.time() - folder.stat().st_mtime > _STALE:
            shutil.rmtree(folder, ignore_errors=True)
