"""`examples`: class attribute that specifies how `check` tests a component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def examples_of(cls: type) -> Mapping[str, Any]:
    """Return the `examples` of a class, with "config", "inputs", "targets" and "skip" or less."""
    # Custom classes need not have it.
    found: Mapping[str, Any] = getattr(cls, "examples", {})
    return found
