"""What a transfer did, as a value and as a table."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

_WIDTH, _LISTED = 100, 8

BODY = ("backbone", "decoder")
"""Parts that a transfer must cover; the head's size follows the number of classes."""


@dataclass(frozen=True)
class Weight:
    """A weight of one side alone; `path` is the source's own name there."""

    path: str
    parameters: int


@dataclass(frozen=True)
class Moved:
    """A weight that was copied.

    Attributes:
        source: its name in the source.
        path: its path in the target.
        parameters: number of elements that were copied.
        conversion: "float16 → float32", or "" where the type is the same.
        fresh: number of the target's elements that were not: rows of classes that are new.
        unused: number of the source's elements of classes that the target lacks.
    """

    source: str
    path: str
    parameters: int
    conversion: str = ""
    fresh: int = 0
    unused: int = 0


@dataclass(frozen=True)
class Mismatch:
    """A weight that both sides have and that was not copied.

    Attributes:
        source: its name in the source.
        path: its path in the target.
        received: shape and type in the source, in Keras's layout where that is known.
        wanted: shape and type in the target.
        parameters: number of elements in the target.
        source_parameters: number of elements in the source.
    """

    source: str
    path: str
    received: str
    wanted: str
    parameters: int
    source_parameters: int


@dataclass(frozen=True)
class TransferReport:
    """What a transfer did; `str(report)` is text of at most 100 columns, rich prints it as a table.

    Every weight of both sides stands in exactly one of the lists. Parameters are elements of all
    weights, moving means and variances among them.

    Attributes:
        source: what the weights come from.
        target: what they go to.
        copied: under the same path.
        renamed: under a path that a rename gave.
        differs: on both sides, of another shape or kind of number; not copied.
        only_in_source: left over there.
        only_in_target: kept as they were.
        ignored: entries of the source that are no weights.
        by_position: paths whose layer was found by name, and they in it by place, because the
            source numbers a layer's weights.
        counted: paths that were not copied because their layer has a name that Keras counted up
            ("conv2d_3"), and the two sides count differently.
        parts: names of the target's parts, where it is made of parts.
        classes: how the rows of class outputs were matched; "" where both sides have the same
            classes.
    """

    source: str
    target: str
    copied: tuple[Moved, ...]
    renamed: tuple[Moved, ...]
    differs: tuple[Mismatch, ...]
    only_in_source: tuple[Weight, ...]
    only_in_target: tuple[Weight, ...]
    ignored: tuple[str, ...] = ()
    by_position: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    classes: str = ""
    parts: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the target that were copied to."""
        return tuple(moved.path for moved in (*self.copied, *self.renamed))

    @property
    def share_by_part(self) -> dict[str, float]:
        """Part of the target -> share of its parameters that were copied to, 0 to 1."""
        return {part: self._share_of((part,)) for part in self.parts if any(self._within((part,)))}

    @property
    def coverage(self) -> float:
        """Share of the parameters of backbone and decoder that were copied to, 0 to 1.

        A head follows the number of classes, which a transfer as a rule changes. A target that is
        not made of parts counts as a whole.
        """
        return self._share_of(BODY) if self.parts else self.share_of_target

    def _share_of(self, parts: tuple[str, ...]) -> float:
        copied, lost = self._within(parts)
        return copied / (copied + lost) if copied + lost else 1.0

    def _within(self, parts: tuple[str, ...]) -> tuple[int, int]:
        """Parameters of some parts that were copied to, and that were not."""
        moved = [m for m in (*self.copied, *self.renamed) if within(m.path, parts)]
        lost = sum(m.fresh for m in moved)
        lost += sum(each.parameters for each in self.differs if within(each.path, parts))
        lost += sum(each.parameters for each in self.only_in_target if within(each.path, parts))
        return sum(m.parameters for m in moved), lost

    @property
    def share_of_target(self) -> float:
        """Share of the target's parameters that were copied to, 0 to 1."""
        lost = sum(each.parameters for each in self.differs) + self.fresh
        return self._share(lost + sum(each.parameters for each in self.only_in_target))

    @property
    def share_of_source(self) -> float:
        """Share of the source's parameters that were copied, 0 to 1."""
        left = sum(each.source_parameters for each in self.differs) + self._unused
        return self._share(left + sum(each.parameters for each in self.only_in_source))

    @property
    def fresh(self) -> int:
        """Number of elements in rows of new classes, which keep the target's own numbers."""
        return sum(moved.fresh for moved in (*self.copied, *self.renamed))

    @property
    def _unused(self) -> int:
        return sum(moved.unused for moved in (*self.copied, *self.renamed))

    def _share(self, lost: int) -> float:
        whole = self._moved + lost
        return self._moved / whole if whole else 0.0

    @property
    def _moved(self) -> int:
        return sum(moved.parameters for moved in (*self.copied, *self.renamed))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=_WIDTH, file=io.StringIO(), color_system=None, highlight=False)
        console.print(self)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        yield Text(f"{self.source} → {self.target}")
        yield _table(self)
        for title, lines in _details(self):
            yield Text(f"{title}:")
            for line in lines[:_LISTED]:
                yield Text(f"  {line}")
            if lines[_LISTED:]:
                yield Text(f"  and {len(lines) - _LISTED} more")
        for note in _notes(self):
            yield Text(note)


def _table(report: TransferReport) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for header in ("", "weights", "parameters", "of target", "of source"):
        table.add_column(header, justify="right" if header else "left")
    target = report._moved + report.fresh + sum(each.parameters for each in report.differs)
    target += sum(each.parameters for each in report.only_in_target)
    source = report._moved + report._unused
    source += sum(each.source_parameters for each in report.differs)
    source += sum(each.parameters for each in report.only_in_source)
    for name in ("copied", "renamed", "differs", "only_in_target", "only_in_source"):
        each = getattr(report, name)
        there = sum(one.parameters for one in each)
        here = sum(getattr(one, "source_parameters", one.parameters) for one in each)
        table.add_row(
            "shape or type differs" if name == "differs" else name.replace("_", " "),
            f"{len(each):,}",
            f"{there:,}",
            "" if name == "only_in_source" else _percent(there, target),
            "" if name == "only_in_target" else _percent(here, source),
        )
    if report.fresh:
        table.add_row(
            "rows of new classes", "", f"{report.fresh:,}", _percent(report.fresh, target)
        )
    if report._unused:
        unused = _percent(report._unused, source)
        table.add_row("rows of unused classes", "", f"{report._unused:,}", "", unused)
    return table


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0.0%"


def _details(report: TransferReport) -> list[tuple[str, list[str]]]:
    moved = [f"{each.source} → {each.path}" for each in report.renamed]
    differs = [f"{d.path}: {d.received}, wanted {d.wanted}" for d in report.differs]
    titled = [
        ("renamed", moved),
        ("shape or type differs", differs),
        ("only in target, largest first", _largest(report.only_in_target)),
        ("only in source, largest first", _largest(report.only_in_source)),
    ]
    return [(title, lines) for title, lines in titled if lines]


def _largest(weights: tuple[Weight, ...]) -> list[str]:
    ordered = sorted(weights, key=lambda weight: -weight.parameters)
    return [f"{weight.path} ({weight.parameters:,})" for weight in ordered]


def within(path: str, parts: tuple[str, ...]) -> bool:
    """Whether a weight belongs to one of the parts."""
    return path.split("/")[0] in parts


def _notes(report: TransferReport) -> list[str]:
    notes = [report.classes] if report.classes else []
    if shares := report.share_by_part:
        listed = ", ".join(f"{part} {share:.1%}" for part, share in shares.items())
        notes.append(f"copied of each part: {listed}")
    conversions = [m.conversion for m in (*report.copied, *report.renamed) if m.conversion]
    for conversion in sorted(set(conversions)):
        notes.append(f"converted {conversion}: {conversions.count(conversion)} weights")
    if report.ignored:
        kinds = sorted({name.replace("/", ".").rsplit(".", 1)[-1] for name in report.ignored})
        notes.append(f"ignored, no weights: {len(report.ignored)} × {', '.join(kinds)}")
    if report.by_position:
        notes.append(
            f"{len(report.by_position)} weights were found by their layer's name and their place "
            "in the layer: the file does not name them"
        )
    if report.counted:
        notes.append(
            f"{len(report.counted)} weights were not copied although their paths agree "
            f"({report.counted[0]}, ...): Keras counted these names up, and the two sides count "
            "differently; name the layers, or give a rename"
        )
    return notes
