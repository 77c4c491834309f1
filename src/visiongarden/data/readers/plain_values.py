"""Values of annotation files that can mean one thing only, however they are written."""

from __future__ import annotations

from typing import Any


def whole(value: Any) -> int | None:
    """A whole number: 1, 1.0, "1" or "1.0"; None for everything else, True and False too."""
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
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return None


def flag(value: Any) -> bool | None:
    """Yes or no: true, 1, 1.0 or "1"; false, 0, "0" or nothing; None for everything else."""
    if value is None or type(value) is bool:
        return bool(value)
    return {0: False, 1: True}.get(number) if (number := whole(value)) is not None else None
