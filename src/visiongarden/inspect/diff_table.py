"""A `ModelDiff` as text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from visiongarden.inspect.diff import ModelDiff

_WIDTH, _LISTED = 100, 40


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
