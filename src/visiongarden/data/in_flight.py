"""`decoding`: limit on the number of pixels that a process decodes at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PIXELS = 64_000_000
"""Four threads that decode the largest images would otherwise need four times the memory of one."""

_free = threading.Condition()
_used = 0


@contextmanager
def decoding(pixels: int) -> Iterator[None]:
    """Wait until an image of `pixels` pixels fits within `MAX_PIXELS` beside those being decoded.

    An image larger than the limit is decoded alone.
    """
    global _used
    with _free:
        _free.wait_for(lambda: _used == 0 or _used + pixels <= MAX_PIXELS)
        _used += pixels
    try:
        yield
    finally:
        with _free:
            _used -= pixels
            _free.notify_all()


def _begin() -> None:
    global _free, _used
    _free, _used = threading.Condition(), 0


# Not on Windows, which has no fork.
if hasattr(os, "register_at_fork"):
    # If another thread decodes during a fork, the child inherits its pixel count (and possibly a
    # locked lock) but not the thread, and would wait forever.
    os.register_at_fork(after_in_child=_begin)
