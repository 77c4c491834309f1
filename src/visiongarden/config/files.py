"""What reading and writing of files changes about typed values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from visiongarden.plugins import imported_by_name

_reading: ContextVar[bool] = ContextVar("reading", default=False)
_writing: ContextVar[bool] = ContextVar("writing", default=False)


@contextlib.contextmanager
def reading_files() -> Iterator[None]:
    """Keep values that only training needs although their class is unknown, see `Unknown`."""
    token = _reading.set(True)
    try:
        # What a file names is never imported, also where the user gave the name of the file.
        with imported_by_name(allowed=False):
            yield
    finally:
        _reading.reset(token)


@contextlib.contextmanager
def writing_files() -> Iterator[None]:
    """Write the type of each value as its key `package>Name`.

    A short name becomes ambiguous when another package registers a class of the same name.
    """
    token = _writing.set(True)
    try:
        yield
    finally:
        _writing.reset(token)


def is_reading_files() -> bool:
    """Return whether values come from a model file or the config of a model."""
    return _reading.get()


def is_writing_files() -> bool:
    """Return whether values are written to a model file or the config of a model."""
    return _writing.get()
