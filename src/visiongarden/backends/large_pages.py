"""`use_large_pages`: train on a CPU in a process whose memory consists of large pages.

**Why.** A training step of JAX or PyTorch allocates hundreds of MiB, which the C library of Linux
returns to the system at the end of the step. The next step gets them back in pages of 4 KiB, each
of which interrupts it. **Gain:** a step in 0.8 to 0.9 of the time (benchmarks/RESULTS.md, Speed).
**Switch:** `large_pages`, or any setting of malloc in `GLIBC_TUNABLES`, which is left as it is.

The C library reads `GLIBC_TUNABLES` when a process starts, so the command is started again, once.
Programs that call `vg.train` or `fit` are not: they can set the variable.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from visiongarden.backends.switches import is_named

VARIABLE = "GLIBC_TUNABLES"
SETTING = "glibc.malloc.hugetlb=1"

_BACKENDS = ("jax", "torch")
"""Backends that it makes faster; TensorFlow keeps its memory between steps."""

PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""File that states which programs get large pages: `always [madvise] never`."""


def use_large_pages() -> None:
    """Start this process again with large pages, if that makes training faster."""
    environment = with_large_pages(os.environ)
    if environment is not None and sys.executable:
        # If the program cannot be started, this process continues as it is.
        with contextlib.suppress(OSError):
            arguments = [sys.executable, *sys.orig_argv[1:]]
            os.execve(sys.executable, arguments, environment)  # noqa: S606  no shell


def with_large_pages(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return an environment with large pages, or None where they would change nothing.

    Args:
        environment: Environment of the process.
    """
    given = environment.get(VARIABLE, "")
    is_wanted = environment.get("KERAS_BACKEND") in _BACKENDS and not is_named("large_pages")
    if not is_wanted or "malloc" in given or not _are_available():
        return None
    return dict(environment) | {VARIABLE: ":".join(filter(None, [given, SETTING]))}


def _are_available() -> bool:
    """Return whether programs may ask this system for large pages, through glibc 2.35 or later."""
    try:
        is_asked = "[madvise]" in PAGES.read_text()
        version = re.fullmatch(r"glibc (\d+)\.(\d+)", os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (OSError, ValueError, AttributeError):
        return False  # not Linux, or without glibc
    return is_asked and version is not None and tuple(map(int, version.groups())) >= (2, 35)
