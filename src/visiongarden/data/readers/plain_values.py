"""Conversion of values in annotation files that are unambiguous in any notation."""

from __future__ import annotations

from typing import Any


def whole(value: Any) -> int | None:
    """Return an integer from 1, 1.0, "1" or "1.0"; None for any other value, including booleans.

    Example:
        >>> whole("3.0"), whole(3.5), whole(True)
        (3, None, None)
    """
    if type(value) is int:
        return int(value)
    if type(value) is str and len(value) < 40:
        text = value.strip()
        if text.lstrip("+-").isdecimal() and text.isascii():
            return int(text)
        try:
            value = float(text)
        except ValueError:
            return None
    # From 2**53 on a float may be the rounded value of another integer.
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return None


def flag(value: Any) -> bool | None:
    """Return a boolean from true, 1, 1.0, "1", false, 0, "0" or None; None for any other value."""
    if value is None or type(value) is bool:
        return bool(value)
    return {0: False, 1: True}.get(number) if (number := whole(value)) is not None else None
