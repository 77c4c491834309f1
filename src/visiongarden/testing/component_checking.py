"""`check_component` runs the checks of a kind that is neither a layer nor a part."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import keras

from visiongarden.errors import UserError
from visiongarden.kinds import KINDS
from visiongarden.testing.checks import (
    assigners,
    decodings,
    exporters,
    keras_objects,
    loss_values,
    metrics,
    readers,
    tasks,
    transforms,
    writers,
)
from visiongarden.testing.examples import examples_of
from visiongarden.testing.report import Finding, Report
from visiongarden.testing.running import findings_of
from visiongarden.testing.transform_subject import TransformSubject

Checks = Mapping[str, Callable[[Any], Finding]]


class _Of(NamedTuple):
    """How a kind is checked: its subject, its checks, and those without which others do not run."""

    subject: Callable[..., Any]
    checks: Checks
    needs: tuple[str, ...] = ("runs",)


def _transform(source: Any, config: dict[str, Any] | None, inputs: Any = None) -> TransformSubject:
    return TransformSubject(source, config)


def _keras(kind: str) -> Callable[..., keras_objects.KerasSubject]:
    def subject(source: Any, config: Any, inputs: Any) -> keras_objects.KerasSubject:
        return keras_objects.KerasSubject(kind, source, config, inputs)

    return subject


_CHECKERS: dict[str, _Of] = {
    "loss": _Of(loss_values.LossSubject, {}),
    "assigner": _Of(assigners.AssignerSubject, assigners.CHECKS),
    "decoding": _Of(decodings.DecodingSubject, decodings.CHECKS),
    "transform": _Of(_transform, transforms.CHECKS, transforms.NEEDS),
    "reader": _Of(readers.ReaderSubject, readers.CHECKS, ("splits", "reads")),
    "writer": _Of(writers.WriterSubject, writers.CHECKS, ("declared", "writes")),
    "exporter": _Of(exporters.ExporterSubject, exporters.CHECKS, ("declared", "exports")),
    "task": _Of(tasks.TaskSubject, tasks.CHECKS, ("members",)),
    "metric": _Of(metrics.MetricSubject, metrics.CHECKS, ("methods", "runs")),
} | {kind: _Of(_keras(kind), checks) for kind, checks in keras_objects.CHECKS.items()}
"""Checks by kind; a test compares them with `KINDS`."""


def names() -> tuple[str, ...]:
    """Return the names of all checks."""
    tables = [of.checks for of in _CHECKERS.values()]
    tables += [loss_values.checks_of(None)]
    return tuple(dict.fromkeys(name for table in tables for name in table))


@cache
def _bases() -> dict[str, tuple[type, ...]]:
    return {kind.name: kind.classes() for kind in KINDS.values()}


def kind_of(source: Any) -> str | None:
    """Return the name of the kind of a class, an instance or a function; None for others.

    Args:
        source: Class, instance, or registered function.
    """
    if inspect.isfunction(source):
        is_known = keras.saving.get_registered_name(source) != source.__name__
        is_known = is_known or source in vars(keras.activations).values()
        return "activation" if is_known else None
    cls = source if isinstance(source, type) else type(source)
    # A block is a layer, too.
    order = ["block", *(name for name in KINDS if name != "block")]
    for name in order:
        if issubclass(cls, _bases()[name] or ()):
            return name
    # Any class with the methods of a metric is one.
    return "metric" if "update_state" in dir(cls) and "result" in dir(cls) else None


def is_component(source: Any) -> bool:
    """Return whether `check_component` checks a class, an instance or a function."""
    return kind_of(source) in _CHECKERS


def check_component(
    source: Any,
    config: Mapping[str, Any] | None = None,
    skip: Sequence[str] = (),
    inputs: Any = None,
) -> Report:
    """Check a loss, assigner, decoding, transform, reader, writer, task, metric or another kind.

    Args:
        source: Class or instance; a registered function for an activation. A class can state how
            it is checked with the attribute `examples: ClassVar = {...}`: "config", its fields;
            "skip", names of checks; "head", a head for a loss, a decoding or a task; "files", a
            small dataset for a reader; "y_true" and "y_pred", images for a metric.
        config: Fields, or constructor arguments, for a class.
        skip: Names of checks to skip.
        inputs: The path of a dataset for a reader.

    Returns:
        A report with one finding per check. Bugs are findings and never raised.

    Raises:
        UserError: The component cannot be constructed.

    Example:
        >>> check_component(vg.losses.Focal()).ok
        True
    """
    kind = kind_of(source)
    if kind not in _CHECKERS:
        raise UserError(
            f"{source!r:.60} cannot be checked",
            rule=f"a {', '.join(_CHECKERS)}",
            received=f"a {kind or type(source).__name__}",
            fix="vg.check(...), which checks layers, parts and models, too",
        )
    of = _CHECKERS[kind]
    subject = of.subject(source, dict(config or {}), inputs)
    checks = loss_values.checks_of(subject.value) if kind == "loss" else of.checks
    skipped = {*skip, *examples_of(subject.cls).get("skip", ())}
    return Report(subject.cls.__name__, tuple(findings_of(checks, subject, skipped, of.needs)))
