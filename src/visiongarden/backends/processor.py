"""`processor_flags`: what the processor can do, without importing a backend."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def processor_flags(path: str = "/proc/cpuinfo") -> frozenset[str]:
    """Return the flags of the first processor that Linux lists; none on other systems.

    Args:
        path: File in the format of `/proc/cpuinfo`.
    """
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    # "flags" on x86, "Features" on ARM.
    listed = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(listed, "").split())
