"""`check_transform` runs a series of named checks on a transform."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from visiongarden.testing.checks.transforms import CHECKS, NEEDS
from visiongarden.testing.examples import examples_of
from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, Report, failed
from visiongarden.testing.transform_subject import TransformSubject
from visiongarden.transforms import Transform


def is_transform(source: Any) -> bool:
    """Return whether a value is a transform, or a class of transforms."""
    if isinstance(source, type):
        return issubclass(source, Transform)
    return isinstance(source, Transform)


def check_transform(
    source: Any, config: Mapping[str, Any] | None = None, skip: Sequence[str] = ()
) -> Report:
    """Check a transform.

    It is applied to images in which each object is visible, with and without the object's pixels;
    so the checks know where the object is without its annotation.

    Args:
        source: class or instance. A class can state its fields with the attribute
            `examples: ClassVar = {"config": {...}}`.
        config: fields for a class.
        skip: names of checks to skip.

    Returns:
        A report with one finding per check. Bugs of the transform are findings and never raised.

    Raises:
        UserError: the transform cannot be constructed.

    Example:
        >>> check_transform(vg.transforms.Grayscale()).ok
        True
    """
    subject = TransformSubject(source, dict(config or {}))
    skipped = {*skip, *examples_of(subject.cls).get("skip", ())} - set(NEEDS)
    return Report(subject.cls.__name__, tuple(_findings(subject, skipped)))


def _findings(subject: TransformSubject, skip: set[str]) -> Iterator[Finding]:
    reported: set[str] = set()
    for name, check in CHECKS.items():
        if name in skip:
            continue
        finding = _safely(check, subject)
        if finding.status == "failed" and finding.evidence in reported:
            continue  # several checks meet the same exception
        reported.add(finding.evidence)
        yield finding.named(name)
        if finding.status == "failed" and name in NEEDS:
            return


def _safely(check: Callable[[TransformSubject], Finding], subject: TransformSubject) -> Finding:
    try:
        return check(subject)
    except Exception as error:
        return failed(describe(error), advice_for(error, "fix the code that raises this error"))
