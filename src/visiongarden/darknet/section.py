"""One section of a cfg, and the reading of its options: every fault names file, line and fix."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from visiongarden.errors import ModelFileError, nearest

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_MOST_INTEGER = 2**31 - 1


@dataclass(frozen=True)
class Section:
    """A `[kind]` and the options under it.

    Attributes:
        kind: canonical name without brackets: "convolutional", also where the file has `[conv]`.
        options: option -> text, comments and spaces taken off. Of an option that stands twice the
            first counts, as in Darknet.
        line: line of the `[kind]` in the file, from 1.
        lines: option -> its line.
        index: position among the layers, from 0, which is how cfgs refer to layers; -1 for `[net]`.
        file: name of the cfg, for messages.
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
        """The place for a message: `yolov3.cfg line 25, [convolutional] (layer 0)`."""
        line = self.lines.get(option, self.line) if option else self.line
        layer = f" (layer {self.index})" if self.index >= 0 else ""
        return f"{self.file} line {line}, [{self.kind}]{layer}"

    def fault(
        self,
        option: str | None,
        what: str,
        rule: str | None = None,
        fix: str | None = None,
        received: str | None = None,
    ) -> ModelFileError:
        """An error at this section or at one of its options, to be raised."""
        if received is None and option is not None and option in self.options:
            received = f"{option}={self.options[option]}"[:200]
        return ModelFileError(
            f"{self.where(option)}: {what}", rule=rule, received=received, fix=fix
        )

    def text(self, option: str, default: str = "") -> str:
        """The option's text."""
        return self.options.get(option, default)

    def choice(self, option: str, default: str, valid: Iterable[str]) -> str:
        """One of the words in `valid`."""
        word, names = self.options.get(option, default), sorted(valid)
        if word not in names:
            raise self.fault(option, f"unknown {option} {word!r:.40}", fix=nearest(word, names))
        return word

    def integer(
        self, option: str, default: int, least: int = -_MOST_INTEGER, most: int = _MOST_INTEGER
    ) -> int:
        """A whole number from `least` to `most`."""
        if option not in self.options:
            return default
        return self._integer(option, self.options[option], least, most)

    def flag(self, option: str, default: bool = False) -> bool:
        """Whether the option is a number other than 0."""
        return self.integer(option, int(default)) != 0

    def integers(
        self, option: str, least: int = -_MOST_INTEGER, most: int = _MOST_INTEGER
    ) -> tuple[int, ...]:
        """Whole numbers, divided by commas; empty where the option is missing."""
        return tuple(self._integer(option, item, least, most) for item in self._items(option))

    def number(
        self, option: str, default: float, least: float = -math.inf, most: float = math.inf
    ) -> float:
        """A number from `least` to `most`."""
        if option not in self.options:
            return default
        return self._number(option, self.options[option], least, most)

    def numbers(
        self, option: str, least: float = -math.inf, most: float = math.inf
    ) -> tuple[float, ...]:
        """Numbers, divided by commas; empty where the option is missing."""
        return tuple(self._number(option, item, least, most) for item in self._items(option))

    def missing_comma(self, option: str) -> str | None:
        """Two numbers with only spaces between them, as "45 61"; Darknet reads 4561."""
        found = re.search(r"[0-9.]+\s+[0-9.]+", self.options.get(option, ""))
        return found.group() if found else None

    def _items(self, option: str) -> list[str]:
        items = self.options.get(option, "").split(",")
        while items and not items[-1].strip():
            items.pop()
        return items

    def _integer(self, option: str, item: str, least: int, most: int) -> int:
        item = "".join(item.split())
        value = int(item.split(".")[0]) if _INTEGER.fullmatch(item) else None
        if value is None or not least <= value <= most:
            raise self.fault(
                option,
                f"{option} is not sound",
                rule=f"a whole number{_range(least, most)}",
                fix=f"correct {option} in line {self.lines.get(option, self.line)}",
            )
        return value

    def _number(self, option: str, item: str, least: float, most: float) -> float:
        item = "".join(item.split())
        value = float(item) if _NUMBER.fullmatch(item) else math.nan
        if not math.isfinite(value) or not least <= value <= most:
            raise self.fault(
                option,
                f"{option} is not sound",
                rule=f"a number{_range(least, most)}",
                fix=f"correct {option} in line {self.lines.get(option, self.line)}",
            )
        return value


def _range(least: float, most: float) -> str:
    low, high = abs(least) < _MOST_INTEGER, abs(most) < _MOST_INTEGER
    if low and high:
        return f" from {least} to {most}"
    return f" of at least {least}" if low else f" of at most {most}" if high else ""
