"""Result of a model comparison, as a value and as text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from visiongarden.inspect.counting import Count
from visiongarden.types import ImageSize

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH, _LISTED = 100, 40


@dataclass(frozen=True)
class FieldChange:
    """Change of one field, such as "decoder.channels", or of a whole part, such as "decoder"."""

    place: str
    before: Any
    after: Any


@dataclass(frozen=True)
class LayerChange:
    """Layers under one path that were added, removed, replaced, or have other weight shapes.

    Attributes:
        path: Prefix of the paths of their weights.
        change: "added", "removed" or "changed"; "replaced" for a whole part that has another type
            or of which no weight can be transferred.
        layers: Number of layers with weights under the path.
        parameters: Number of their parameters; after the change, unless they were removed.
        detail: Shapes that changed, for example "kernel 3 × 3 × 8 × 16 → 3 × 3 × 8 × 32".
    """

    path: str
    change: str
    layers: int
    parameters: int
    detail: str = ""


@dataclass(frozen=True)
class ModelDiff:
    """Differences between two models.

    `str(diff)` is text of at most 100 columns; rich prints the value as tables.

    Attributes:
        before: Label of the first model.
        after: Label of the second model.
        fields: Changed fields of the parts and of the model.
        layers: Changed layers by path, as in the paths of the weights.
        count_before: Parameters and MACs of the first model.
        count_after: Parameters and MACs of the second model.
        sizes: (height, width) at which the MACs of the first and second model were counted.
        survive: Paths of weights with equal shapes in both models, which a transfer would copy.
        lost: Paths of weights of the second model that a transfer would not change.
        share: Fraction of the second model's parameters that a transfer would copy, 0 to 1.
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
        """Whether fields, layers and shapes are equal."""
        return not self.fields and not self.layers

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, for JSON."""
        values = asdict(self)
        for side in ("before", "after"):
            values[f"count_{side}"]["flops"] = getattr(self, f"count_{side}").flops
        return values | {"same": self.same}

    def __str__(self) -> str:
        return table_of(self)


def table_of(diff: ModelDiff) -> str:
    """Format fields, layers and totals as tables of at most 100 columns."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=_WIDTH, file=io.StringIO(), color_system=None, highlight=False)
    console.print(Text(f"{diff.before} → {diff.after}"))
    if diff.same:
        console.print(Text("fields, layers and shapes are equal"))
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
        console.print(_table(("", "path", "layers", "parameters", "shapes"), rows))
    console.print(_table(("", "before", "after", "change"), _totals(diff)))
    kept, total = len(diff.survive), len(diff.survive) + len(diff.lost)
    console.print(
        Text(
            f"a transfer would copy {kept:,} of {total:,} weights, "
            f"{diff.share:.1%} of the second model's parameters"
        )
    )
    # rich pads the lines of a table with spaces.
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
