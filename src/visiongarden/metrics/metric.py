"""`Metric`: what a metric implements; the methods have Keras's names."""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable

from visiongarden.errors import UserError


@runtime_checkable
class Metric(Protocol):
    """A metric of a model on many images; any `keras.metrics.Metric` is one, too.

    `update_state` is called for one batch of images after another, `result` after the last one. A
    metric may also have `merge_state(metrics)`, which adds what other metrics of its class have
    collected, and `per_class()`, which returns the metrics of each class by class name.

    Attributes:
        name: Name of the metric, under which a `result` that is one number is shown.

    Example:
        >>> class FoundObjects:
        ...     name = "found"
        ...
        ...     def __init__(self):
        ...         self.reset_state()
        ...
        ...     def update_state(self, y_true, y_pred, sample_weight=None):
        ...         self.count += sum(len(found) for found in y_pred)
        ...
        ...     def result(self):
        ...         return float(self.count)
        ...
        ...     def reset_state(self):
        ...         self.count = 0
        >>> isinstance(FoundObjects(), vg.metrics.Metric)
        True
    """

    name: str

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add images.

        Args:
            y_true: One `Sample` for each image, its annotations in pixels of the original image. A
                `keras.metrics.Metric` receives an array instead, see `Task.arrays`.
            y_pred: The result for each of these images, in the same pixels.
            sample_weight: Weights, or None.
        """

    def result(self) -> float | dict[str, float]:
        """Return the value, or several values by name, of all images since `reset_state`."""

    def reset_state(self) -> None:
        """Remove all images."""


_METHODS = ("update_state", "result", "reset_state")


def check_metric(metric: Any) -> Metric:
    """Return a metric that has a name and all methods.

    Raises:
        UserError: Something is missing.
    """
    if isinstance(metric, type):
        raise UserError(
            f"the metric {metric.__name__} is a class",
            rule="an object, which collects the images of one evaluation",
            fix=f"{metric.__name__}()",
        )
    if isinstance(metric, Metric):
        return metric
    # A method that a class sets to None is missing, too.
    missing = [
        name for name in ("name", *_METHODS) if inspect.getattr_static(metric, name, None) is None
    ]
    what = "name" if missing[0] == "name" else f"method {missing[0]}()"
    raise UserError(
        f"the metric {type(metric).__name__} has no {what}",
        rule=f"a name and the methods {', '.join(_METHODS)}, as a keras.metrics.Metric has",
        received=f"missing: {', '.join(missing)}",
        fix=f'name = "{type(metric).__name__.lower()}"'
        if missing[0] == "name"
        else f"def {missing[0]}(self{_PARAMETERS.get(missing[0], '')}): ...",
    )


_PARAMETERS = {"update_state": ", y_true, y_pred, sample_weight=None"}


def refuse_weights(name: str, sample_weight: Any) -> None:
    """Raise an error if weights are given to a metric that does not use them.

    Raises:
        UserError: `sample_weight` is not None.
    """
    if sample_weight is not None:
        raise UserError(
            f"the metric {name!r} has no weights", rule="every image counts once",
            received=f"sample_weight of type {type(sample_weight).__name__}",
            fix="leave out sample_weight",
        )  # fmt: skip
