"""The figure of a model as a table: part -> stage -> size, repeats, parameters, compute."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from visiongarden.inspect.count import Count, count_of, drawn, size_for, symbolic_inputs
from visiongarden.inspect.macs import macs_by_layer, macs_inside
from visiongarden.layers.keras_internals import weightless
from visiongarden.models import Detector, load
from visiongarden.parts import IMAGE, Part
from visiongarden.types import FeatureSpec, ImageSize

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

WIDTH = 100


@dataclass(frozen=True)
class Row:
    """One stage: a layer of a part's top level that has weights, or that changes the size.

    Attributes:
        part: "backbone", "decoder" or "head".
        stage: the layer's name; a weight's path starts with `part/stage`.
        kind: the layer's class, and what it repeats: "DarknetStage ×8".
        repeats: how often the stage repeats its unit.
        output: shape of one image's result, (height, width, channels) as a rule.
        level: the level that the part gives on from here, or "".
        count: parameters and MACs.
    """

    part: str
    stage: str
    kind: str
    repeats: int
    output: tuple[int | None, ...]
    level: str
    count: Count


@dataclass(frozen=True)
class Figure:
    """A model's figure; `str(figure)` is text of at most 100 columns, rich prints it as a table.

    Attributes:
        title: what is shown.
        image_size: (height, width) that sizes and MACs hold for.
        rows: stage by stage.
        parts: part -> parameters and MACs.
        count: of the whole.
    """

    title: str
    image_size: ImageSize
    rows: tuple[Row, ...]
    parts: dict[str, Count]
    count: Count

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=WIDTH, file=io.StringIO(), color_system=None, highlight=False)
        console.print(self)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        height, width = self.image_size
        yield Text(f"{self.title}, image {height} × {width} × 3")
        yield _table(self)
        yield Text(
            f"parameters {self.count.trainable:,} trainable, {self.count.total:,} in all; "
            f"{_giga(self.count.macs)} MACs (FLOPs = 2 × MACs: {_giga(self.count.flops)})"
        )


def show(
    source: keras.Model | Part | str | Path,
    image_size: ImageSize | int | None = None,
    inputs: FeatureSpec = IMAGE,
) -> Figure:
    """The figure of a detector, a part or a saved model; no weight is used.

    Args:
        source: a model, a part, or the path of a `.keras` file.
        image_size: (height, width) or one number for both; by default the model's own, else 640.
        inputs: what comes into a part, where it is a decoder or a head.

    Raises:
        ModelFileError: the file does not open.
        UserError: the image size does not suit the model.
    """
    name = ""
    if isinstance(source, (str, Path)):
        name, source = f" {Path(source).name}", load(source)
    size = size_for(source, image_size)
    with weightless():
        model = drawn(source, size, inputs)
        found = macs_by_layer(model, symbolic_inputs(model, size))
    subs = [model.backbone, model.decoder, model.head] if isinstance(model, Detector) else [model]
    return Figure(
        title=f"{type(source).__name__}{name}{_classes(source)}",
        image_size=size,
        rows=tuple(row for sub in subs for row in _rows(sub, found)),
        parts={sub.name: count_of(sub, macs_inside(sub, found)) for sub in subs},
        count=count_of(model, macs_inside(model, found)),
    )


def _rows(part: keras.Model, found: Counter[int]) -> list[Row]:
    levels = _levels(part)
    rows = []
    for layer in part.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        output = tuple(keras.tree.flatten(layer.output)[0].shape[1:])
        level = levels.get(id(layer), "")
        if layer.weights or level or output != _input_shape(layer):
            counted = count_of(layer, macs_inside(layer, found))
            repeats = _repeats(layer)
            kind = type(layer).__name__ + (f" ×{repeats}" if repeats else "")
            rows.append(Row(part.name, layer.name, kind, max(repeats, 1), output, level, counted))
    return rows


def _levels(part: keras.Model) -> dict[int, str]:
    outputs = part.output
    if not isinstance(outputs, dict):
        return {}
    levels: dict[int, str] = {}
    for level, tensors in outputs.items():
        for tensor in keras.tree.flatten(tensors):
            levels[id(tensor._keras_history.operation)] = level
    return levels


def _input_shape(layer: keras.Layer) -> tuple[int | None, ...]:
    return tuple(keras.tree.flatten(layer.input)[0].shape[1:])


def _repeats(layer: keras.Layer) -> int:
    """Length of the largest run of numbered sublayers, `units` -> unit1, unit2, ...; 0 for none."""
    runs: Counter[tuple[str, str]] = Counter()
    for inner in getattr(layer, "_layers", []):
        numbered = re.fullmatch(r"(.*?)_?\d+", inner.name)
        if numbered and inner.weights:
            runs[numbered[1], type(inner).__name__] += 1
    return max(runs.values(), default=0)


def _classes(source: Any) -> str:
    names = getattr(getattr(source, "class_map", None), "names", None)
    if not names:
        return ""
    listed = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return f", {len(names)} classes ({listed})"


def _table(figure: Figure) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for header in ("part", "stage", "made of", "H × W × C", "level", "params", "MACs", "share"):
        right = header in ("H × W × C", "params", "MACs", "share")
        table.add_column(header, justify="right" if right else "left", overflow="fold")
    for part, counted in figure.parts.items():
        for i, row in enumerate([row for row in figure.rows if row.part == part]):
            first = "" if i else part
            table.add_row(first, row.stage, row.kind, _sides(row.output), row.level, *_cells(row))
        table.add_row("", "", "", "", "", *_totals(counted, figure.count), end_section=True)
    table.add_row("all", "", "", "", "", *_totals(figure.count, figure.count))
    return table


def _cells(row: Row) -> tuple[str, str]:
    counted = row.count
    return (
        f"{counted.trainable:,}" if counted.total else "",
        _giga(counted.macs) if counted.macs else "",
    )


def _totals(counted: Count, whole: Count) -> tuple[str, str, str]:
    share = f"{counted.macs / whole.macs:.0%}" if whole.macs else ""
    return f"{counted.trainable:,}", _giga(counted.macs), share


def _sides(shape: tuple[int | None, ...]) -> str:
    return " × ".join("?" if side is None else str(side) for side in shape)


def _giga(number: int) -> str:
    return f"{number / 1e9:.3f} G" if number >= 1e7 else f"{number / 1e6:.3f} M"
