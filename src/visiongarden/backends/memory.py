"""`give_back`: memory that a compilation has freed goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys


def give_back() -> None:
    """Hands freed memory back; only on Linux with glibc, elsewhere it does nothing.

    Recording or compiling a training step leaves hundreds of MiB that are free but, in pieces
    between what is kept, neither used again by the step nor seen as free by the system.
    """
    if not sys.platform.startswith("linux"):
        return
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
