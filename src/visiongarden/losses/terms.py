"""`terms_of`: the names of a loss's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def terms_of(loss: Any) -> Sequence[str] | None:
    """Return the names of the terms that a loss declares as its attribute `terms`, or None."""
    # A custom loss, which may be a function, need not name its terms.
    return getattr(loss, "terms", None)
