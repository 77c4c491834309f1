"""`Section`: one section of a cfg, with typed access to its options.

Every error names the file, the line and a fix.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from visiongarden.errors import ModelFileError, nearest

# Repetition is bounded because a hostile cfg may contain a number of a megabyte; `int` would raise
# a ValueError without a line number above 4,300 digits.
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_MAX_INTEGER = 2**31 - 1


@dataclass(frozen=True)
class Section:
    """A section of a cfg: its kind and its options.

    Attributes:
        kind: Canonical name without brackets: "convolutional" also for `[conv]`.
        options: Texts of the options by name, without comments and surrounding spaces. Of duplicate
            options the first is used, as in Darknet.
        line: Line number of the section's header, from 1.
        lines: Line numbers of the options by name.
        index: Position among the layers, from 0, by which cfgs refer to layers; -1 for `[net]`.
        file: Name of the cfg, for messages.
    """

    kind: str
    options: Mapping[str, str]
    line: int
    lines: Mapping[str, int]
    index: int = -1
    file: str = "the cfg"

    def __contains__(self, option: str) -> bool:
        return option in self.options

    def where(self, option: str | None = None) -> str:
        """Return the location for a message: `yolov3.cfg line 25, [convolutional] (layer 0)`."""
        line = self.lines.get(option, self.line) if option else self.line
        layer = f" (layer {self.index})" if self.index >= 0 else ""
        return f"{self.file} line {line}, [{self.kind}]{layer}"

    def error(
        self,
        option: str | None,
        what: str,
        rule: str | None = None,
        fix: str | None = None,
        received: str | None = None,
    ) -> ModelFileError:
        """Create an error that refers to this section or to one of its options.

        Args:
            option: Name of the option, or None for the section as a whole.
            what: What is invalid.
            rule: What is expected.
            fix: How to fix it.
            received: What was found; by default the option and its text.

        Returns:
            The error, for the caller to raise.
        """
        if received is None and option is not None and option in self.options:
            received = f"{option}={self.options[option]}"[:200]
        return ModelFileError(
            f"{self.where(option)}: {what}", rule=rule, received=received, fix=fix
        )

    def text(self, option: str, default: str = "") -> str:
        """Return the text of an option."""
        return self.options.get(option, default)

    def choice(self, option: str, default: str, valid: Iterable[str]) -> str:
        """Return the value of an option that must be one of the words in `valid`."""
        word, names = self.options.get(option, default), sorted(valid)
        if word not in names:
            raise self.error(option, f"unknown {option} {word!r:.40}", fix=nearest(word, names))
        return word

    def integer(
        self, option: str, default: int, minimum: int = -_MAX_INTEGER, maximum: int = _MAX_INTEGER
    ) -> int:
        """Return the value of an option that must be an integer from `minimum` to `maximum`."""
        if option not in self.options:
            return default
        return self._integer(option, self.options[option], minimum, maximum)

    def flag(self, option: str, default: bool = False) -> bool:
        """Return whether an option is an integer other than 0."""
        return self.integer(option, int(default)) != 0

    def integers(
        self, option: str, minimum: int = -_MAX_INTEGER, maximum: int = _MAX_INTEGER
    ) -> tuple[int, ...]:
        """Return the integers in a comma-separated option; an empty tuple if it is missing."""
        return tuple(self._integer(option, item, minimum, maximum) for item in self._items(option))

    def number(
        self, option: str, default: float, minimum: float = -math.inf, maximum: float = math.inf
    ) -> float:
        """Return the value of an option that must be a number from `minimum` to `maximum`."""
        if option not in self.options:
            return default
        return self._number(option, self.options[option], minimum, maximum)

    def numbers(
        self, option: str, minimum: float = -math.inf, maximum: float = math.inf
    ) -> tuple[float, ...]:
        """Return the numbers in a comma-separated option; an empty tuple if it is missing."""
        return tuple(self._number(option, item, minimum, maximum) for item in self._items(option))

    def missing_comma(self, option: str) -> str | None:
        """Return two numbers of an option that are separated by spaces only, or None.

        Darknet removes all spaces before it parses a line, so it reads "45 61" as 4561.
        """
        found = re.search(r"[0-9.]+\s+[0-9.]+", self.options.get(option, ""))
        return found.group() if found else None

    def _items(self, option: str) -> list[str]:
        items = self.options.get(option, "").split(",")
        while items and not items[-1].strip():
            items.pop()
        return items

    def _integer(self, option: str, item: str, minimum: int, maximum: int) -> int:
        item = "".join(item.split())
        value = int(item.split(".")[0]) if _INTEGER.fullmatch(item) else None
        if value is None or not minimum <= value <= maximum:
            raise self.error(
                option,
                f"{option} is not valid",
                rule=f"an integer{_range(minimum, maximum)}",
                fix=f"correct {option} in line {self.lines.get(option, self.line)}",
            )
        return value

    def _number(self, option: str, item: str, minimum: float, maximum: float) -> float:
        item = "".join(item.split())
        value = float(item) if _NUMBER.fullmatch(item) else math.nan
        if not math.isfinite(value) or not minimum <= value <= maximum:
            raise self.error(
                option,
                f"{option} is not valid",
                rule=f"a number{_range(minimum, maximum)}",
                fix=f"correct {option} in line {self.lines.get(option, self.line)}",
            )
        return value


def _range(minimum: float, maximum: float) -> str:
    low, high = abs(minimum) < _MAX_INTEGER, abs(maximum) < _MAX_INTEGER
    if low and high:
        return f" from {minimum} to {maximum}"
    return f" of at least {minimum}" if low else f" of at most {maximum}" if high else ""
