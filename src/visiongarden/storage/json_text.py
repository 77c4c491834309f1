"""Parse JSON from files with a limit on the memory that it takes."""

from __future__ import annotations

import json
from typing import Any

from visiongarden.errors import DataError, UserError

_FLOOR = 64 * 2**20
_PER_BYTE = 16
# Bytes that CPython allocates for a dict with one key, a list, and an item with its number or text.
_DICT, _LIST, _ITEM = 184, 64, 40


def parse_json(
    raw: bytes, where: object, error: type[UserError] = DataError, repeated: bool = True
) -> Any:
    """Parse UTF-8 JSON text.

    The text `[{},{},…` takes 24 bytes of memory for each byte, and in an archive it is compressed
    to a hundredth. Annotations and configs take less than 10 bytes for each byte.

    Args:
        raw: bytes of the text.
        where: the file, for error messages.
        error: class of the error to raise.
        repeated: whether an object may contain a key twice; the last value is then used.

    Raises:
        UserError: an `error`, if the text is not JSON (with line and column), is nested too deeply,
            or has so many values that it would take more than 64 MiB and 16 times its length.
    """
    needs = _DICT * raw.count(b"{") + _LIST * raw.count(b"[") + _ITEM * raw.count(b",")
    if needs > max(_FLOOR, _PER_BYTE * len(raw)):
        raise error(
            f"{where}: the JSON has too many values for its length",
            rule=f"at most {_PER_BYTE} bytes of memory for each byte of text",
            received=f"about {needs // 2**20:,} MiB for {len(raw):,} bytes",
        )
    try:
        hook = None if repeated else _distinct
        return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=hook)
    except RepeatedKeyError as problem:
        raise error(
            f"{where}: key {problem.key!r:.60} appears twice in one object",
            rule="each key once, because only one of its values can be used",
            received=problem.object,
        ) from problem
    except json.JSONDecodeError as problem:
        raise error(
            f"{where}: line {problem.lineno}, column {problem.colno}: invalid JSON",
            received=problem.msg,
        ) from problem
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise error(f"{where}:{line}: not UTF-8 text", received=str(problem)) from problem
    except (RecursionError, ValueError) as problem:  # `int` refuses more than 4,300 digits
        raise error(f"{where}: the JSON cannot be parsed", received=str(problem)[:200]) from problem


class RepeatedKeyError(ValueError):
    """Error of a JSON object that contains a key twice.

    Attributes:
        key: the repeated key.
        object: description of the object, for messages.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(key)
        self.key, self.object = key, text


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        key = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKeyError(key, f"an object with the keys {', '.join(keys)}"[:200])
    return values
