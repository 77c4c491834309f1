"""Import of libraries that are not required."""

from __future__ import annotations

import importlib
from typing import Any

from visiongarden.errors import MissingLibraryError


def imported_library(name: str, purpose: str) -> Any:
    """Import a library that is needed for one format only.

    Args:
        name: name of the library, which is also that of its package.
        purpose: what needs it, for the message.

    Raises:
        MissingLibraryError: the library is not installed, or fails to import.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"{purpose} needs {name}, which cannot be imported",
            received=str(error),
            fix=f"pip install {name}",
        ) from None
