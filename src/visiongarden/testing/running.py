"""Run a series of named checks on a subject."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from visiongarden.testing.explain import advice_for, describe
from visiongarden.testing.report import Finding, failed

S = TypeVar("S")


def findings_of(
    checks: Mapping[str, Callable[[S], Finding]],
    subject: S,
    skip: Collection[str] = (),
    needs: Collection[str] = (),
) -> Iterator[Finding]:
    """Yield the finding of each check; an exception of a check is a failed finding.

    Args:
        checks: Checks by name, in the order in which they run.
        subject: What each of them takes.
        skip: Names of checks to skip.
        needs: Names of checks that run in any case, and without which the later ones do not run.
    """
    reported: set[str] = set()
    for name, check in checks.items():
        if name in skip and name not in needs:
            continue
        finding = _safely(check, subject)
        if finding.status == "failed" and finding.evidence in reported:
            continue  # several checks meet the same exception
        reported.add(finding.evidence)
        yield finding.named(name)
        if finding.status == "failed" and name in needs:
            return


def _safely(check: Callable[[S], Finding], subject: S) -> Finding:
    try:
        return check(subject)
    except Exception as error:
        return failed(describe(error), advice_for(error, "fix the code that raises this error"))
