"""Checks of metrics: values, reset, order and division of the images, and no images at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np

from visiongarden.errors import UserError
from visiongarden.metrics.metric import check_metric
from visiongarden.testing import example_results
from visiongarden.testing.checks import keras_objects
from visiongarden.testing.explain import describe
from visiongarden.testing.report import Finding, failed, passed, skipped, warned
from visiongarden.testing.value_subject import ValueSubject

_TOLERANCE = 1e-5


@runtime_checkable
class _Mergeable(Protocol):
    def merge_state(self, metrics: Any) -> None: ...


class MetricSubject(ValueSubject):
    """A metric under test, with ground truth and results of five images that it accepts."""

    @cached_property
    def images(self) -> tuple[str, list[Any], list[Any]]:
        """What the results are, ground truth, and results; each with one entry per image."""
        if {"y_true", "y_pred"} <= self.examples.keys():
            return "its examples", list(self.examples["y_true"]), list(self.examples["y_pred"])
        is_keras = isinstance(self.value, keras.metrics.Metric)
        first: Exception | None = None
        for name, true, found in (
            example_results.arrays() if is_keras else example_results.results()
        ):
            try:
                self.after(slice(None), of=(true, found))
            except Exception as error:
                first = first or error
                continue
            return name, true, found
        raise UserError(
            f"update_state accepts no example results: {describe(first) if first else ''}",
            rule="samples and results of a task, or arrays for a metric of Keras",
            fix='examples = {"y_true": [...], "y_pred": [...]} in the class, one entry per image',
        ) from first

    def after(
        self, *batches: slice, of: tuple[list[Any], list[Any]] | None = None
    ) -> dict[str, float]:
        """Return the values of a new metric after some batches of the images."""
        metric = self.fresh()
        metric.reset_state()
        self.update(metric, *batches, of=of)
        return self.values(metric)

    def update(
        self, metric: Any, *batches: slice, of: tuple[list[Any], list[Any]] | None = None
    ) -> None:
        """Add batches of the images to a metric."""
        true, found = of or self.images[1:]
        for batch in batches:
            given: list[Any] = [true[batch], found[batch]]
            if isinstance(metric, keras.metrics.Metric):
                given = [np.stack(each) for each in given]
            metric.update_state(*given)

    def values(self, metric: Any) -> dict[str, float]:
        """Return the values by name."""
        result = metric.result()
        # Keras numbers the names of its metrics.
        found = result if isinstance(result, dict) else {subject_name(self): result}
        return {str(name): float(value) for name, value in found.items()}


def subject_name(subject: MetricSubject) -> str:
    """Return the name of a metric of one value."""
    return str(subject.value.name)


def registered(subject: MetricSubject) -> Finding:
    """Check that a recipe can name the metric; one that a task creates needs no name."""
    found = keras_objects.registered(subject)
    return warned(found.evidence, found.advice) if found.status == "failed" else found


def named(subject: MetricSubject) -> Finding:
    """Check that a recipe can build the metric; that of a task may take other arguments."""
    if registered(subject).status == "warning":
        return skipped("the metric is not registered")
    found = keras_objects.named(subject)
    return warned(found.evidence, found.advice) if found.status == "failed" else found


def methods(subject: MetricSubject) -> Finding:
    """Check that the metric has a name and the methods of a metric."""
    try:
        check_metric(subject.value)
    except UserError as error:
        return failed(error.what, error.fix or "")
    return passed(subject.value.name)


def runs(subject: MetricSubject) -> Finding:
    """Check that it returns numbers."""
    found = subject.after(slice(None))
    return passed(f"{subject.images[0]}: " + ", ".join(f"{n} {v:.3g}" for n, v in found.items()))


def empty(subject: MetricSubject) -> Finding:
    """Check that the result without images is a number, or NaN, under the same names."""
    names = subject.after(slice(None)).keys()
    metric = subject.fresh()
    metric.reset_state()
    try:
        found = subject.values(metric)
    except Exception as error:
        return failed(
            f"the result without images fails: {describe(error)}", 'return float("nan") for none'
        )
    if found.keys() != names:
        return failed(
            f"the values without images are {sorted(found)}, with images {sorted(names)}",
            "return the same names each time",
        )
    return passed(", ".join(f"{name} {value:.3g}" for name, value in found.items()))


def reset(subject: MetricSubject) -> Finding:
    """Check that `reset_state` removes all images."""
    metric = subject.fresh()
    metric.reset_state()
    subject.update(metric, slice(None, None, -1))
    subject.values(metric)
    metric.reset_state()
    subject.update(metric, slice(0, 2))
    return _equal(
        subject.after(slice(0, 2)), subject.values(metric), "after reset_state, images remain",
        "set every attribute that update_state changes",
    )  # fmt: skip


def order(subject: MetricSubject) -> Finding:
    """Check that the order of the images does not matter."""
    return _equal(
        subject.after(slice(0, 2), slice(2, None)),
        subject.after(slice(2, None), slice(0, 2)),
        "the order of the batches changes the values",
        "collect sums and counts, not the last batch",
    )


def batches(subject: MetricSubject) -> Finding:
    """Check that the division into batches does not matter."""
    count = len(subject.images[1])
    return _equal(
        subject.after(slice(None)),
        subject.after(*(slice(i, i + 1) for i in range(count))),
        "single images give other values than one batch",
        "collect sums and counts, and divide in result(): a mean of means depends on the batches",
    )


def merge(subject: MetricSubject) -> Finding:
    """Check that `merge_state` adds the images of other metrics."""
    if not isinstance(subject.value, _Mergeable):
        return skipped("the metric has no merge_state")
    one, other = subject.fresh(), subject.fresh()
    for metric, batch in ((one, slice(0, 2)), (other, slice(2, None))):
        metric.reset_state()
        subject.update(metric, batch)
    one.merge_state([other])
    return _equal(
        subject.after(slice(None)), subject.values(one), "merge_state gives other values",
        "add what the other metrics have collected",
    )  # fmt: skip


def _equal(expected: dict[str, float], found: dict[str, float], what: str, advice: str) -> Finding:
    for name, value in expected.items():
        other = found.get(name, math.nan)
        if not np.isclose(value, other, rtol=1e-4, atol=_TOLERANCE, equal_nan=True):
            return failed(f"{what}: {name} is {other:.6g}, not {value:.6g}", advice)
    return passed(", ".join(expected))


CHECKS: dict[str, Callable[[MetricSubject], Finding]] = {
    "registered": registered,
    "methods": methods,
    "runs": runs,
    "named": named,
    "empty": empty,
    "reset": reset,
    "order": order,
    "batches": batches,
    "merge": merge,
}
"""Checks of a metric by name, in the order in which they run."""
