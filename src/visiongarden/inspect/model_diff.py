"""`ModelDiff`: what differs between two models, as a value and as text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from visiongarden.inspect.count import Count
from visiongarden.types import ImageSize

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH, _LISTED = 100, 40


@dataclass(frozen=True)
class FieldChange:
    """A field that says something else: "decoder.channels", or "decoder" for another kind."""

    place: str
    before: Any
    after: Any


@dataclass(frozen=True)
class LayerChange:
    """Layers under one path that came, went, or have weights of other shapes.

    Attributes:
        path: prefix of the weights' paths.
        change: "added", "removed" or "changed"; "replaced" for a whole part of which no weight
            survives, or that is of another type.
        layers: number of layers with weights under the path.
        parameters: all of theirs; after the change, where there is an after.
        detail: shapes that changed, "kernel 3 × 3 × 8 × 16 → 3 × 3 × 8 × 32".
    """

    path: str
    change: str
    layers: int
    parameters: int
    detail: str = ""


@dataclass(frozen=True)
class ModelDiff:
    """What changed; `str(diff)` is text of at most 100 columns, rich prints it as tables.

    Attributes:
        before: the first model's label.
        after: the second's.
        fields: of parts and of the model.
        layers: by path, as the weights spell it.
        count_before: parameters and MACs of the first.
        count_after: of the second.
        sizes: (height, width) that the MACs hold for, first and second.
        survive: paths whose weights have the same shape in both: what a transfer would copy.
        lost: paths of the second that a transfer would leave as they are.
        share: of the second's parameters that survive, 0 to 1.
    """

    before: str
    after: str
    fields: tuple[FieldChange, ...]
    layers: tuple[LayerChange, ...]
    count_before: Count
    count_after: Count
    sizes: tuple[ImageSize, ImageSize]
    survive: tuple[str, ...]
    lost: tuple[str, ...]
    share: float

    @property
    def same(self) -> bool:
        """Whether fields, layers and shapes are all the same."""
        return not self.fields and not self.layers

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, for JSON."""
        found = asdict(self)
        for side in ("before", "after"):
            found[f"count_{side}"]["flops"] = getattr(self, f"count_{side}").flops
        return found | {"same": self.same}

    def __str__(self) -> str:
        return table_of(self)


def table_of(diff: ModelDiff) -> str:
    """Tables of fields, layers and totals; at most 100 columns."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=_WIDTH, file=io.StringIO(), color_system=None, highlight=False)
    console.print(Text(f"{diff.before} → {diff.after}"))
    if diff.same:
        console.print(Text("the same fields, layers and shapes"))
    if diff.fields:
        rows: list[tuple[str, ...]] = [
            (f.place, _text(f.before), _text(f.after)) for f in diff.fields
        ]
        console.print(_table(("field", "before", "after"), rows))
    if diff.layers:
        rows = [
            (each.change, each.path, str(each.layers), f"{each.parameters:,}", each.detail)
            for each in diff.layers
        ]
        console.print(_table(("", "layers at", "layers", "parameters", "shapes"), rows))
    console.print(_table(("", "before", "after", "change"), _totals(diff)))
    kept, whole = len(diff.survive), len(diff.survive) + len(diff.lost)
    console.print(
        Text(
            f"a transfer would copy {kept:,} of {whole:,} weights, "
            f"{diff.share:.1%} of the second's parameters"
        )
    )
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines)


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        right = header in ("layers", "parameters", "change")
        table.add_column(header, justify="right" if right else "left", overflow="fold")
    for row in rows[:_LISTED]:
        table.add_row(*map(Text, row))
    if rows[_LISTED:]:
        table.add_row(f"and {len(rows) - _LISTED} more", *[""] * (len(headers) - 1))
    return table


def _totals(diff: ModelDiff) -> list[tuple[str, ...]]:
    old, new = diff.count_before, diff.count_after
    first, second = (f"{height} × {width}" for height, width in diff.sizes)
    size = first if first == second else f"{first}, {second}"
    return [
        ("parameters, trainable", f"{old.trainable:,}", f"{new.trainable:,}",
         _change(old.trainable, new.trainable)),
        ("parameters, all", f"{old.total:,}", f"{new.total:,}", _change(old.total, new.total)),
        (f"MACs at {size}", f"{old.macs:,}", f"{new.macs:,}", _change(old.macs, new.macs)),
    ]  # fmt: skip


def _change(old: int, new: int) -> str:
    if old == new:
        return "none"
    return f"{(new - old) / old:+.1%}" if old else "new"


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
