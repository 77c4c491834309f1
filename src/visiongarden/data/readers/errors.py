"""Errors that several modules of this package raise."""

from __future__ import annotations

from visiongarden.errors import DataError
from visiongarden.storage.place import Place


def unreadable(root: Place, error: OSError) -> DataError:
    """Return the error for a file or folder that the operating system cannot read."""
    return DataError(f"{root} cannot be read", received=str(error)[:200])
