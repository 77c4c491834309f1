"""Summary of a model by part and stage: output size, repeats, parameters and compute."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from visiongarden.backends.weightless import weightless
from visiongarden.errors import UserError
from visiongarden.inspect.counting import Count, built, count_of, size_for, symbolic_inputs
from visiongarden.inspect.drawing import Box, boxes, page, svg_file
from visiongarden.inspect.macs import macs_by_layer
from visiongarden.markup import Preformatted
from visiongarden.models import load
from visiongarden.models.kinds import WithPreprocessing, WithResize
from visiongarden.parts import IMAGE, Part
from visiongarden.storage import atomic_write
from visiongarden.terminal import table, wrapped
from visiongarden.types import FeatureSpec, ImageSize
from visiongarden.weights.class_rows import class_names_of


@dataclass(frozen=True)
class Row:
    """Stage of a part: a top-level layer that has weights, changes the shape or outputs a level.

    Attributes:
        part: "backbone", "decoder" or "head".
        stage: Name of the layer; the paths of its weights start with `part/stage`.
        kind: Class of the layer and number of repeated units, for example "DarknetStage ×8"; marks
            a frozen stage.
        repeats: Number of times the stage repeats its unit.
        output: Output shape for one image, usually (height, width, channels).
        level: Level that the part outputs here, or "".
        count: Parameters and MACs.
    """

    part: str
    stage: str
    kind: str
    repeats: int
    output: tuple[int | None, ...]
    level: str
    count: Count


@dataclass(frozen=True, repr=False)
class Figure(Preformatted):
    """Summary of a model; `str(figure)` is text of at most 100 columns.

    Attributes:
        title: Name of the model or part.
        image_size: (height, width) at which shapes and MACs were computed.
        rows: The stages, in order.
        parts: Parameters and MACs of each part.
        count: Parameters and MACs of the whole model.
        boxes: Layers with their inputs and sublayers, as `html` and `svg` draw them.
        preprocessing: What the first layer of a model does to the images, as text; "" for a part.
        resize: How images are brought to the size of the model's input, as text; "" for a part.
    """

    title: str
    image_size: ImageSize
    rows: tuple[Row, ...]
    parts: dict[str, Count]
    count: Count
    boxes: tuple[Box, ...] = ()
    preprocessing: str = ""
    resize: str = ""

    def __repr__(self) -> str:
        return (
            f"Figure({self.title}, {self.count.trainable:,} trainable parameters, "
            f"{_giga(self.count.macs)} MACs)"
        )

    def __str__(self) -> str:
        height, width = self.image_size
        frozen = f"{self.count.frozen:,} frozen, " if self.count.frozen else ""
        total = (
            f"parameters {self.count.trainable:,} trainable, {frozen}{self.count.total:,} total; "
            f"{_giga(self.count.macs)} MACs (FLOPs = 2 × MACs: {_giga(self.count.flops)})"
        )
        head = [f"{self.title}, image {height} × {width}"]
        if self.preprocessing:
            head.append(f"preprocessing: {self.preprocessing}")
        if self.resize:
            head.append(f"resize: {self.resize}")
        return wrapped("\n".join([*head, "", _table(self), "", total]))

    def html(self) -> str:
        """Return the figure as one self-contained HTML page."""
        images = ", ".join(filter(None, (self.preprocessing, self.resize)))
        return page(self.title, self.image_size, self.boxes, self.parts, self.count, images)

    def svg(self) -> str:
        """Return the diagram as one SVG file without the details that the page expands."""
        return svg_file(self.title, self.image_size, self.boxes, self.count)

    def save(self, path: str | Path) -> Path:
        """Write the HTML page, or the SVG file if the name ends in .svg, and return the path.

        Raises:
            UserError: The name does not end in .html, .htm or .svg.
        """
        path = Path(path)
        if path.suffix == ".svg":
            return atomic_write(path, self.svg())
        if path.suffix not in {".html", ".htm"}:
            raise UserError(
                f"cannot save the figure as {path}",
                rule="the file name ends in .html or .svg",
                fix=f'save("{path.with_suffix(".html")}"), on the command line '
                f"--output {path.with_suffix('.html')}",
            )
        return atomic_write(path, self.html())

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, for JSON."""
        return {
            "title": self.title,
            "image_size": list(self.image_size),
            "preprocessing": self.preprocessing,
            "resize": self.resize,
            "count": asdict(self.count),
            "parts": {name: asdict(counted) for name, counted in self.parts.items()},
            "rows": [asdict(row) for row in self.rows],
            "boxes": [asdict(box) for box in self.boxes],
        }


def show(
    source: keras.Model | Part | str | Path,
    image_size: ImageSize | int | None = None,
    inputs: FeatureSpec = IMAGE,
) -> Figure:
    """Summarize a model, a part or a saved model; weight values are not used.

    Args:
        source: A model, a part, or the path of a `.keras` file.
        image_size: (height, width) or the side of a square; by default that of the model, or 640.
        inputs: Channels and strides of the feature maps that a decoder or head reads.

    Returns:
        A `Figure`, which prints as a table and is saved as an HTML page or an SVG file.

    Raises:
        ModelFileError: The file cannot be opened.
        UserError: The model cannot process this image size.
    """
    name = ""
    if isinstance(source, (str, Path)):
        name, source = f" {Path(source).name}", load(source)
    size = size_for(source, image_size)
    with weightless():
        model = built(source, size, inputs)
        macs = macs_by_layer(model, symbolic_inputs(model, size))
        submodels = _submodels(model)
        # The first part takes preprocessed images, possibly of another number of channels.
        tensors = symbolic_inputs(submodels[0], size)
        # Rows of the table and boxes of the page come from one trace, so they always agree.
        drawing = boxes(submodels, tensors, macs)
    return Figure(
        title=f"{type(source).__name__}{name}{_classes(source)}",
        image_size=size,
        rows=tuple(_row(box) for box in drawing if _is_stage(box)),
        parts={sub.name: count_of(sub, macs) for sub in submodels},
        count=count_of(model, macs),
        boxes=drawing,
        preprocessing=str(source.preprocessing) if isinstance(source, WithPreprocessing) else "",
        resize=str(source.resize) if isinstance(source, WithResize) else "",
    )


def _submodels(model: keras.Model) -> list[keras.Model]:
    """Return the parts of a model made of parts, or else the model itself."""
    # A custom model may have parts under these names as well.
    parts = [getattr(model, role, None) for role in ("backbone", "decoder", "head")]
    return [part for part in parts if isinstance(part, keras.Model)] or [model]


def _is_stage(box: Box) -> bool:
    changes = box.output != box.inputs[0]
    return bool(box.count.total or box.level or changes)


def _row(box: Box) -> Row:
    repeats = box.holds
    kind = box.kind + (f" ×{repeats}" if repeats > 1 else "")
    if box.count.frozen:
        kind += ", partly frozen" if box.count.trainable else ", frozen"
    return Row(box.part, box.name, kind, repeats, box.output, box.level, box.count)


def _classes(source: Any) -> str:
    names = class_names_of(source)
    if not names:
        return ""
    listed = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return f", {len(names)} classes ({listed})"


def _table(figure: Figure) -> str:
    rows: list[tuple[str, ...]] = []
    for part, counted in figure.parts.items():
        for i, row in enumerate([row for row in figure.rows if row.part == part]):
            first = "" if i else part
            sides = _sides(row.output)
            rows.append((first, row.stage, row.kind, sides, row.level, *_cells(row), ""))
        rows += [("", "", "", "", "", *_totals(counted, figure.count)), ()]
    rows.append(("total", "", "", "", "", *_totals(figure.count, figure.count)))
    headers = ("part", "stage", "type", "H × W × C", "level", "params", "MACs", "share")
    return table(headers, rows, right=("H × W × C", "params", "MACs", "share"))


def _cells(row: Row) -> tuple[str, str]:
    counted = row.count
    return (
        f"{counted.trainable + counted.frozen:,}" if counted.total else "",
        _giga(counted.macs) if counted.macs else "",
    )


def _totals(counted: Count, whole: Count) -> tuple[str, str, str]:
    share = f"{counted.macs / whole.macs:.0%}" if whole.macs else ""
    return f"{counted.trainable + counted.frozen:,}", _giga(counted.macs), share


def _sides(shape: tuple[int | None, ...]) -> str:
    return " × ".join("?" if side is None else str(side) for side in shape)


def _giga(number: int) -> str:
    return f"{number / 1e9:.3f} G" if number >= 1e7 else f"{number / 1e6:.3f} M"
