"""`Evaluation`: further metrics of a run, and the one that selects the best model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from visiongarden.config import KerasMetric, Value
from visiongarden.errors import ConfigError, nearest
from visiongarden.evaluation import evaluate
from visiongarden.tasks import Task

_TRIED_IMAGES = 4
_PREFIX = "val_"


class Evaluation(Value):
    """Evaluation of a run on the validation split.

    Attributes:
        metrics: Metrics besides those of the task, by name, with their arguments: `{type: F1Score,
            average: macro}`.
        per_class: Metrics of each class to log as well, such as ["AP"]: "val_AP/cat".
        monitor: Name of the metric that selects `best.keras`, such as "AP" or "AP/cat"; null for
            that of the task.
        mode: "max" or "min": which values of `monitor` are better; null for a metric of the task.
    """

    metrics: tuple[KerasMetric, ...] = ()
    per_class: tuple[str, ...] = ()
    monitor: str | None = None
    mode: Literal["max", "min"] | None = None


class Selection(NamedTuple):
    """Metrics of a run, checked.

    Attributes:
        metrics: Metrics besides those of the task.
        names: Names of the values that are logged, without "val_".
        monitor: Name of the value that selects the best model.
        mode: "max" or "min": which values of `monitor` are better.
    """

    metrics: Sequence[Any]
    names: tuple[str, ...]
    monitor: str
    mode: str


def selection(settings: Evaluation, task: Task, model: Any, dataset: Any) -> Selection:
    """Build the metrics of a run, and try them on a few images.

    Args:
        settings: Fields of the recipe.
        task: Task of the run.
        model: Model at the start of the run.
        dataset: Validation split.

    Raises:
        UserError: A metric lacks a method, does not suit the task or fails, or the monitor is not
            one of the values.
    """
    metrics = [metric.build() for metric in settings.metrics]
    names, monitor = task.metric_names, settings.monitor or task.monitor
    if metrics or settings.per_class or monitor not in names:
        few = dataset.part(range(min(_TRIED_IMAGES, len(dataset))))
        found = evaluate(model, few, metrics=metrics)
        rows = _of_classes(settings.per_class, found.per_class)
        known = _known(monitor, found.values)
        names = tuple(dict.fromkeys([*names, *_values(metrics), *rows, *known]))
    return Selection(metrics, names, monitor, _mode(settings, task, monitor, metrics))


def _values(metrics: Sequence[Any]) -> list[str]:
    results = [(metric.name, metric.result()) for metric in metrics]
    return [n for name, found in results for n in (found if isinstance(found, dict) else [name])]


def _of_classes(metrics: Sequence[str], rows: dict[str, dict[str, float]]) -> list[str]:
    valid = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    for metric in metrics:
        if metric not in valid:
            raise ConfigError(
                f"the metric {metric!r} is not computed for each class",
                rule="a metric of the classes, such as AP",
                received=f"evaluation.per_class={list(metrics)}",
                fix=nearest(metric, valid),
            )
    return [f"{metric}/{name}" for metric in metrics for name, row in rows.items() if metric in row]


def _known(monitor: str, found: dict[str, float]) -> list[str]:
    if monitor not in found:
        name = monitor.removeprefix(_PREFIX)
        raise ConfigError(
            f"the metric {monitor!r}, which is to select the best model, is not computed",
            rule="a metric of the task, or of evaluation.metrics",
            received=f"evaluation.monitor={monitor}",
            fix=f"evaluation.monitor={name}" if name in found else nearest(monitor, found),
        )
    return [monitor]


def _mode(settings: Evaluation, task: Task, monitor: str, metrics: Sequence[Any]) -> str:
    if settings.mode is not None:
        return settings.mode
    if monitor in _values(metrics):
        raise ConfigError(
            f"it is not known whether the metric {monitor!r} should rise or fall",
            rule="evaluation.mode is max or min for a metric of evaluation.metrics",
            received="evaluation.mode=null",
            fix="evaluation.mode=max",
        )
    return task.monitor_mode
