"""`Metrics`: several metrics that see the same images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import keras

from visiongarden.errors import UserError
from visiongarden.metrics.metric import Metric, check_metric

Arrays = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, Any, Any]]


@runtime_checkable
class WithClasses(Protocol):
    """A metric that also has values for each class."""

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return the metrics of each class, by class name."""


class Metrics:
    """Several metrics of one evaluation.

    Args:
        metrics: Metrics, ours, custom or Keras's.
        arrays: Function that turns samples and results into arrays for a `keras.metrics.Metric`,
            see `Task.arrays`.

    Raises:
        UserError: Two metrics have one name, or one lacks a method.
    """

    def __init__(self, metrics: Sequence[Any], arrays: Arrays) -> None:
        self._metrics: list[Metric] = [check_metric(metric) for metric in metrics]
        self._arrays = arrays
        names = [metric.name for metric in self._metrics]
        for name in names:
            if names.count(name) > 1:
                raise UserError(
                    f"two metrics have the name {name!r}", rule="one name for each metric",
                    fix=f'name="{name}_2" for one of them',
                )  # fmt: skip
        for metric in self._metrics:
            metric.reset_state()

    def update(self, samples: Sequence[Any], results: Sequence[Any]) -> None:
        """Add images to each metric.

        Args:
            samples: Ground truth, one sample for each image.
            results: Predictions, one result for each image.
        """
        arrays = None
        for metric in self._metrics:
            given: tuple[Any, ...] = (samples, results)
            if isinstance(metric, keras.metrics.Metric):
                given = arrays = arrays or self._arrays(samples, results)
            with _named(metric):
                metric.update_state(*given)

    def result(self) -> dict[str, float]:
        """Return all values by name.

        Raises:
            UserError: A metric returns something other than numbers, or two return one name.
        """
        found: dict[str, float] = {}
        for metric in self._metrics:
            with _named(metric):
                value = metric.result()
            for name, number in (
                value if isinstance(value, dict) else {metric.name: value}
            ).items():
                if name in found:
                    raise UserError(
                        f"two metrics return the value {name!r}", rule="one name for each value"
                    )
                found[name] = _number(metric.name, name, number)
        return found

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return the values of each class by class name, of the metrics that have such values."""
        found: dict[str, dict[str, float]] = {}
        for metric in self._metrics:
            if isinstance(metric, WithClasses):
                for name, values in metric.per_class().items():
                    found.setdefault(name, {}).update(values)
        return found


@contextlib.contextmanager
def _named(metric: Metric) -> Iterator[None]:
    """Name the metric in an error of its code."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a metric may raise anything
        raise UserError(
            f"the metric {metric.name!r} of class {type(metric).__name__} failed with "
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            rule="update_state(y_true, y_pred, sample_weight=None) accepts the results of the task",
            fix=f"the arguments or the code of {type(metric).__name__}",
        ) from error


def _number(metric: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the metric {metric!r} is not a number",
            rule="result() returns a number, or a dict of numbers by name",
            received=f"{name}: {value!r:.80}",
            fix="return float(value)",
        ) from error
