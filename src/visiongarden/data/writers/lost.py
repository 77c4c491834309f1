"""`Lost`: what a format cannot store."""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 3


class Lost(list[str]):
    """List of what a format cannot store, one line per item.

    Attributes:
        names: File names of the images of each split as written, in their order.
        groups: Images, splits or classes by the description of what is dropped from them; each
            occurs once for each dropped item.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[str]] = {}
        self.groups: dict[str, list[str]] = {}

    def of(self, name: str, dropped: Iterable[str]) -> None:
        """Record what is dropped from an image, a split or a class."""
        for what in dropped:
            self.append(f"{name}: {what}")
            self.groups.setdefault(what, []).append(name)

    def add_lines(self, lines: Iterable[str]) -> None:
        """Add the lines that a writer returned, "image: description" each."""
        if isinstance(lines, Lost):
            self += lines
            for what, names in lines.groups.items():
                self.groups.setdefault(what, []).extend(names)
            return
        for line in lines:
            name, colon, what = line.partition(": ")
            self.of(name, [what]) if colon else self._add_line(line)

    def _add_line(self, line: str) -> None:
        self.append(line)
        self.groups.setdefault(line, []).append("")

    def summary(self) -> list[str]:
        """Return one line per category of dropped items, with their number and three names."""
        lines = []
        for what, names in self.groups.items():
            shown = list(dict.fromkeys(filter(None, names)))
            more = ", …" * (len(shown) > _SHOWN)
            listed = f" ({', '.join(shown[:_SHOWN])}{more})" if shown else ""
            lines.append(f"{len(names):,} × {what}{listed}")
        return lines
