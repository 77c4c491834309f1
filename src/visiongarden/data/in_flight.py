"""`decoding`: how many pixels the threads of a process decode at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_PIXELS = 64_000_000
"""Four threads that decode the largest images each would take four times the memory of one."""

_free = threading.Condition()
_used = 0


@contextmanager
def decoding(pixels: int) -> Iterator[None]:
    """Wait until an image of so many pixels fits beside the others; a larger one goes alone."""
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


if hasattr(os, "register_at_fork"):
    # A process that is forked while another thread decodes would wait for that thread for ever.
    os.register_at_fork(after_in_child=_begin)
