"""Check ranges in the fields of transforms."""

from __future__ import annotations

from typing import Any

from pydantic import AfterValidator

from visiongarden.errors import ConfigError


def _ordered(limits: tuple[Any, Any]) -> tuple[Any, Any]:
    low, high = limits
    if low > high:
        raise ConfigError(
            "the limits are in the wrong order",
            rule="[minimum, maximum]",
            received=str([low, high]),
            fix=str([high, low]),
        )
    return limits


Ordered = AfterValidator(_ordered)
"""Validation of a pair of limits, [minimum, maximum]."""
