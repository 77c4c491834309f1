"""`uncollected`: work that makes many objects and leaves none of them behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, Python does not look for garbage.

    It would walk all objects again and again while modules, layers or rows are made, 0.2 s each
    time beside a backend, and find nothing.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
