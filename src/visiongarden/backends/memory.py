"""`give_back`: return freed memory to the operating system after a compilation.

**Why.** Capturing or compiling a training step frees hundreds of MiB in pieces between allocations
that remain. The C library keeps such pieces: later steps do not need them, and the system counts
them as used. **Gain:** a quarter of the peak memory on PyTorch, and a third on JAX. **Switch:**
`memory`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

from visiongarden.backends.switches import is_on


def give_back() -> None:
    """Collect garbage and return freed memory to the system; Linux with glibc only."""
    if not sys.platform.startswith("linux") or not is_on("memory"):
        return
    # First the traces of the compilation, which contain reference cycles.
    gc.collect()
    # Other C libraries, such as musl, have no malloc_trim; then nothing happens.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
