"""Result of an evaluation: metrics of all classes and of each class."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from visiongarden import markup
from visiongarden.metrics.several import Metrics
from visiongarden.tasks import Section, Task
from visiongarden.terminal import counted, table

_METRICS_PER_ROW = 6
_LISTED_CLASSES = 100


@dataclass(frozen=True, repr=False)
class EvaluationResult:
    """Metrics of a model on a dataset, `str()` is a table.

    `result["AP"]` is one metric, `result["AP/cat"]` that of a class.

    Attributes:
        metrics: Metrics of the model's task by name, mostly 0 to 1; NaN if the dataset has nothing
            to compute a metric from. Detection: COCO's twelve; "AP" is the mean over IoU 0.50 to
            0.95. Classification: "top1", "top5", "balanced". Segmentation: "mIoU", "accuracy",
            "balanced". Regression: "R2".
        per_class: Metrics of each class or value, by its name.
        images: Number of images.
        metrics_name: Name of the metrics, for the heading of the table.
        note: How the classes of model and dataset were matched, if their names differ.
        row_name: What a row of `per_class` is: "class".
        sections: Tables that the task adds, see `Task.report`.
        units: Unit of each row by its name, for rows that are values; `per_class` states which of
            its metrics have this unit.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]]
    images: int
    metrics_name: str = "COCO metrics"
    note: str = ""
    row_name: str = "class"
    sections: tuple[Section, ...] = ()
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, metrics: Metrics, images: int, note: str = "") -> EvaluationResult:
        """Return the result of a task's metrics after all images were added to them."""
        found = cls(
            metrics.result(),
            metrics.per_class(),
            images,
            task.title,
            note,
            task.row_name,
            units=task.units,
        )
        return replace(found, sections=tuple(task.report(found)))

    @property
    def values(self) -> dict[str, float]:
        """All metrics by name, and those of each class as "AP/cat"."""
        return self.metrics | {
            f"{metric}/{name}": value
            for name, row in self.per_class.items()
            for metric, value in row.items()
        }

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def __repr__(self) -> str:
        shown = [f"{name}={_shown(value)}" for name, value in self.metrics.items()]
        return f"EvaluationResult({', '.join([*shown, f'images={self.images}'])})"

    def __str__(self) -> str:
        columns, rows = self._rows()
        totals = [_shown(self.metrics[n]) if n in self.metrics else "" for n in columns]
        listed = [f"{name:>5} {_shown(value)}" for name, value in self.metrics.items()]
        lines = [
            "  ".join(listed[i : i + _METRICS_PER_ROW])
            for i in range(0, len(listed), _METRICS_PER_ROW)
        ]
        notes = [self.note] if self.note else []
        head = f"{self.metrics_name} on {counted(self.images, 'image')}"
        total = [("all", *totals)] if any(totals) else []
        numbers = [column for column in columns if column != "unit"]
        classes = table((self.row_name, *columns), [*rows, *total], right=numbers)
        tables = ["", classes] if rows else []
        for section in self.sections:
            tables += ["", section.title, table(section.columns, section.rows)]
        return "\n".join([head, *notes, *tables, "", *lines])

    def _rows(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Return the columns of the table after the names, and its rows."""
        # The classes of several heads have different metrics.
        names = list(dict.fromkeys(n for values in self.per_class.values() for n in values))
        has_units = any(self.units.values())
        rows = [
            (
                name,
                *((self.units.get(name, ""),) if has_units else ()),
                *(_shown(metrics[column]) if column in metrics else "" for column in names),
            )
            for name, metrics in self.per_class.items()
        ]
        return [*(("unit",) if has_units else ()), *names], rows

    def _repr_html_(self) -> str:
        columns, per_class = self._rows()
        return markup.section(
            f"{self.metrics_name} on {counted(self.images, 'image')}",
            markup.paragraph(self.note) if self.note else "",
            markup.table(list(self.metrics), [[_shown(value) for value in self.metrics.values()]]),
            markup.table((self.row_name, *columns), per_class, limit=_LISTED_CLASSES),
            *(
                markup.section(section.title, markup.table(section.columns, section.rows))
                for section in self.sections
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to a JSON-serializable dict; NaN becomes None."""
        fields: dict[str, Any] = _without_nan(asdict(self))
        return fields


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return value


def _shown(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "–"
    # Errors in units, such as meters or gray levels, may be far from 1.
    return f"{value:.4g}" if abs(value) >= 100 or 0 < abs(value) < 5e-4 else f"{value:.3f}"
