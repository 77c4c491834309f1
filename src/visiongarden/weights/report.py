"""The report of a weight transfer, as a value and as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from visiongarden import markup
from visiongarden.terminal import table, wrapped
from visiongarden.weights.proof import COLUMNS, Proof

_LISTED = 8
_LISTED_IN_HTML = 200
_NUMBERS = ("weights", "parameters", "of target", "of source")

BODY = ("backbone", "decoder")
"""Parts whose coverage is checked. A head is excluded because its size depends on the classes."""


@dataclass(frozen=True)
class Weight:
    """A weight that only one side has.

    Attributes:
        path: Path in the target, or name in the source.
        parameters: Number of elements.
    """

    path: str
    parameters: int


@dataclass(frozen=True)
class Moved:
    """A weight that was copied.

    Attributes:
        source: Name in the source.
        path: Path in the target.
        parameters: Number of elements that were copied.
        conversion: Conversion of the dtype, such as "float16 → float32"; "" if there was none.
        fresh: Number of elements of the target that were not copied: rows of new classes.
        unused: Number of elements of the source that were not copied: rows of classes that the
            target lacks.
    """

    source: str
    path: str
    parameters: int
    conversion: str = ""
    fresh: int = 0
    unused: int = 0


@dataclass(frozen=True)
class Mismatch:
    """A weight that both sides have, but that was not copied because shape or dtype differ.

    Attributes:
        source: Name in the source.
        path: Path in the target.
        received: Shape and dtype in the source, with Keras's axis order if it is known.
        wanted: Shape and dtype in the target.
        parameters: Number of elements in the target.
        source_parameters: Number of elements in the source.
    """

    source: str
    path: str
    received: str
    wanted: str
    parameters: int
    source_parameters: int


@dataclass(frozen=True, repr=False)
class TransferReport:
    """Report of a weight transfer.

    Every weight of both sides that `only` selects is in exactly one of the lists. Parameters are
    the elements of all weights, including moving means and variances. `str(report)` is a text of at
    most 100 columns.

    Attributes:
        source: Label of the source.
        target: Label of the target.
        copied: Weights copied to the same path.
        renamed: Weights copied to a path that rules or `rename` produced.
        differs: Weights of both sides that were not copied because shape or dtype differ.
        only_in_source: Weights of the source without a counterpart in the target.
        only_in_target: Weights of the target without a counterpart, which were not changed.
        ignored: Names of entries of the source that are not weights.
        by_position: Paths of weights that were matched by their position within a layer of the
            same name, because the source numbers the weights of a layer.
        counted: Paths of weights that were not copied because their layers have automatic names
            ("conv2d_3") that differ between the two sides.
        parts: Names of the target's parts; empty if the target is not made of parts.
        excluded: Paths of target weights that `only` does not select.
        classes: How the rows of class outputs were matched; "" if both sides have the same classes.
        rules: Name of the rules of a published checkpoint that gave the names; "" if none did.
        preprocessing: Preprocessing that the rules set in the target, in words; "" if unchanged.
        proof: Comparison of the levels of source and target on images, if it was requested.
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
    excluded: tuple[str, ...] = ()
    rules: str = ""
    preprocessing: str = ""
    proof: Proof | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the paths of all target weights that were copied."""
        return tuple(moved.path for moved in (*self.copied, *self.renamed))

    @property
    def share_by_part(self) -> dict[str, float]:
        """Return the fraction of copied parameters, 0 to 1, by part of the target."""
        return {part: self._share_of((part,)) for part in self.parts if any(self._within((part,)))}

    @property
    def coverage(self) -> float:
        """Return the fraction of copied parameters of backbone and decoder, 0 to 1.

        The head is excluded because its size depends on the number of classes, which usually
        differs. For a target that is not made of parts, this is `share_of_target`.
        """
        return self.share_of_parts(BODY)

    def share_of_parts(self, parts: tuple[str, ...]) -> float:
        """Return the fraction of copied parameters of some parts, 0 to 1.

        Args:
            parts: Names of parts; a target that is not made of parts counts as a whole.
        """
        return self._share_of(parts) if self.parts else self.share_of_target

    def _share_of(self, parts: tuple[str, ...]) -> float:
        copied, lost = self._within(parts)
        return copied / (copied + lost) if copied + lost else 1.0

    def _within(self, parts: tuple[str, ...]) -> tuple[int, int]:
        """Return the numbers of parameters of some parts that were copied, and that were not."""
        moved = [m for m in (*self.copied, *self.renamed) if within(m.path, parts)]
        lost = sum(m.fresh for m in moved)
        lost += sum(each.parameters for each in self.differs if within(each.path, parts))
        lost += sum(each.parameters for each in self.only_in_target if within(each.path, parts))
        return sum(m.parameters for m in moved), lost

    @property
    def share_of_target(self) -> float:
        """Return the fraction of the target's parameters that were copied, 0 to 1."""
        lost = sum(each.parameters for each in self.differs) + self.fresh
        return self._share(lost + sum(each.parameters for each in self.only_in_target))

    @property
    def share_of_source(self) -> float:
        """Return the fraction of the source's parameters that were copied, 0 to 1."""
        left = sum(each.source_parameters for each in self.differs) + self._unused
        return self._share(left + sum(each.parameters for each in self.only_in_source))

    @property
    def fresh(self) -> int:
        """Return the number of elements in rows of new classes, which were not changed."""
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

    def to_dict(self) -> dict[str, Any]:
        """Convert the report to a JSON-serializable dict."""
        return asdict(self) | {
            "coverage": self.coverage,
            "share_of_target": self.share_of_target,
            "share_of_source": self.share_of_source,
        }

    def __repr__(self) -> str:
        return (
            f"TransferReport({self.source} → {self.target}: {len(self.paths)} weights copied, "
            f"coverage {self.coverage:.1%})"
        )

    def __str__(self) -> str:
        rows = table(("", *_NUMBERS), _rows(self), right=_NUMBERS)
        text = [f"{self.source} → {self.target}", "", rows, ""]
        for title, lines in _details(self):
            text.append(f"{title}:")
            text += [f"  {line}" for line in lines[:_LISTED]]
            if lines[_LISTED:]:
                text.append(f"  and {len(lines) - _LISTED} more")
        proof = "" if self.proof is None else f"\n\n{self.proof}"
        return wrapped("\n".join([*text, *_notes(self)])) + proof

    def _repr_html_(self) -> str:
        return markup.section(
            f"{self.source} → {self.target}",
            markup.table(("", *_NUMBERS), _rows(self)),
            *(
                markup.details(f"{title} ({len(lines):,})", lines[:_LISTED_IN_HTML])
                for title, lines in _details(self)
            ),
            *map(markup.paragraph, _notes(self)),
            *_proof_in_html(self.proof),
        )


def _proof_in_html(proof: Proof | None) -> tuple[str, ...]:
    if proof is None:
        return ()
    return markup.table(COLUMNS, proof.rows()), markup.paragraph(proof.summary())


def _rows(report: TransferReport) -> list[tuple[str, ...]]:
    """Return the rows of the table, each with a title and the cells of `_NUMBERS`."""
    rows: list[tuple[str, ...]] = []
    target = report._moved + report.fresh + sum(each.parameters for each in report.differs)
    target += sum(each.parameters for each in report.only_in_target)
    source = report._moved + report._unused
    source += sum(each.source_parameters for each in report.differs)
    source += sum(each.parameters for each in report.only_in_source)
    groups: dict[str, tuple[Moved, ...] | tuple[Mismatch, ...] | tuple[Weight, ...]] = {
        "copied": report.copied,
        "renamed": report.renamed,
        "differs": report.differs,
        "only_in_target": report.only_in_target,
        "only_in_source": report.only_in_source,
    }
    for name, each in groups.items():
        in_target = sum(weight.parameters for weight in each)
        in_source = sum(
            weight.source_parameters if isinstance(weight, Mismatch) else weight.parameters
            for weight in each
        )
        rows.append(
            (
                "shape or dtype differs" if name == "differs" else name.replace("_", " "),
                f"{len(each):,}",
                f"{in_target:,}",
                "" if name == "only_in_source" else _percent(in_target, target),
                "" if name == "only_in_target" else _percent(in_source, source),
            )
        )
    if report.fresh:
        share = _percent(report.fresh, target)
        rows.append(("rows of new classes", "", f"{report.fresh:,}", share, ""))
    if report._unused:
        share = _percent(report._unused, source)
        rows.append(("rows of unused classes", "", f"{report._unused:,}", "", share))
    return rows


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0.0%"


def _details(report: TransferReport) -> list[tuple[str, list[str]]]:
    moved = [f"{each.source} → {each.path}" for each in report.renamed]
    differs = [f"{d.path}: {d.received}, expected {d.wanted}" for d in report.differs]
    titled = [
        ("renamed", moved),
        ("shape or dtype differs", differs),
        ("only in target, largest first", _largest(report.only_in_target)),
        ("only in source, largest first", _largest(report.only_in_source)),
    ]
    return [(title, lines) for title, lines in titled if lines]


def _largest(weights: tuple[Weight, ...]) -> list[str]:
    ordered = sorted(weights, key=lambda weight: -weight.parameters)
    return [f"{weight.path} ({weight.parameters:,})" for weight in ordered]


def within(path: str, parts: tuple[str, ...]) -> bool:
    """Return whether a weight belongs to one of the parts."""
    return path.split("/")[0] in parts


def _notes(report: TransferReport) -> list[str]:
    notes = [f"rules: {report.rules}"] if report.rules else []
    if report.preprocessing:
        notes.append(f"preprocessing set to: {report.preprocessing}")
    if report.classes:
        notes.append(report.classes)
    if report.excluded:
        notes.append(f"not selected: {len(report.excluded):,} weights of the target")
    if shares := report.share_by_part:
        listed = ", ".join(f"{part} {share:.1%}" for part, share in shares.items())
        notes.append(f"copied by part: {listed}")
    conversions = [m.conversion for m in (*report.copied, *report.renamed) if m.conversion]
    for conversion in sorted(set(conversions)):
        notes.append(f"converted {conversion}: {conversions.count(conversion)} weights")
    if report.ignored:
        names = sorted({name.replace("/", ".").rsplit(".", 1)[-1] for name in report.ignored})
        notes.append(f"ignored, not weights: {len(report.ignored)} × {', '.join(names)}")
    if report.by_position:
        notes.append(
            f"{len(report.by_position)} weights were matched by the name of their layer and their "
            "position in it, because the file does not contain their names"
        )
    if report.counted:
        notes.append(
            f"{len(report.counted)} weights were not copied although their paths agree "
            f"({report.counted[0]}, ...): their layers have automatic names, which source and "
            "target number differently; name the layers, or use rename rules"
        )
    return notes
