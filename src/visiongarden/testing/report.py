"""Results of checks: one `Finding` per check, one `Report` per checked class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from visiongarden import markup
from visiongarden.terminal import table

Status = Literal["passed", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        check: Name of the check, as in `CHECKS`.
        status: "passed", "failed", "warning" (a limitation that is not an error), or "skipped",
            in which case `evidence` is the reason.
        evidence: Observed numbers, shapes or names.
        advice: How to fix the problem; empty if the check passed or was skipped.
    """

    check: str
    status: Status
    evidence: str
    advice: str = ""

    def named(self, check: str) -> Finding:
        """Return a copy of this finding with the name of the check set."""
        return replace(self, check=check)

    def __str__(self) -> str:
        advice = f"\n    advice: {self.advice}" if self.advice else ""
        return f"{self.check}: {self.status}: {self.evidence}{advice}"


def passed(evidence: str) -> Finding:
    """Create the finding of a check that passed."""
    return Finding("", "passed", evidence)


def failed(evidence: str, advice: str) -> Finding:
    """Create the finding of a check that failed."""
    return Finding("", "failed", evidence, advice)


def warned(evidence: str, advice: str) -> Finding:
    """Create the finding of a check that found a limitation or something possibly intended."""
    return Finding("", "warning", evidence, advice)


def skipped(reason: str) -> Finding:
    """Create the finding of a check that does not apply to this subject."""
    return Finding("", "skipped", reason)


@dataclass(frozen=True, repr=False)
class Report:
    """Findings of all checks of one component.

    `report["gradients"]` returns the finding of one check.

    Attributes:
        subject: Name of the checked class.
        findings: One finding per check, in the order in which the checks ran.
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed; warnings and skipped checks do not count."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings of the checks that failed."""
        return tuple(f for f in self.findings if f.status == "failed")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that report a limitation rather than an error."""
        return tuple(f for f in self.findings if f.status == "warning")

    def __getitem__(self, check: str) -> Finding:
        for finding in self.findings:
            if finding.check == check:
                return finding
        # A subject that does not run has no findings of the checks that depend on `runs`.
        if any(f.check == "runs" and f.status == "failed" for f in self.findings):
            return skipped("`runs` fails").named(check)
        raise KeyError(check)

    def with_findings(self, more: Iterable[Finding]) -> Report:
        """Return a copy of this report with further findings appended."""
        return replace(self, findings=(*self.findings, *more))

    def to_dict(self) -> dict[str, Any]:
        """Convert the report to a JSON-serializable dict."""
        return {
            "subject": self.subject,
            "ok": self.ok,
            "findings": [vars(finding) for finding in self.findings],
        }

    def table(self) -> str:
        """Format all findings as a table; `str()` lists only those that failed, and warnings."""
        rows = [
            (each.check, each.status, each.evidence + (f"\n→ {each.advice}" if each.advice else ""))
            for each in self.findings
        ]
        listed = table(("check", "status", "evidence and advice"), rows)
        return f"{str(self).splitlines()[0]}\n\n{listed}"

    def _repr_html_(self) -> str:
        rows = [(each.check, each.status, each.evidence, each.advice) for each in self.findings]
        head = self._heading
        return markup.section(head, markup.table(("check", "status", "evidence", "advice"), rows))

    def __repr__(self) -> str:
        return f"Report({self._heading})"

    @property
    def _heading(self) -> str:
        counts = [
            f"{sum(f.status == status for f in self.findings)} {status}"
            for status in ("passed", "failed", "skipped")
        ]
        if self.warnings:
            counts.append(f"{len(self.warnings)} warning{'s' * (len(self.warnings) > 1)}")
        return f"{self.subject}: {'valid' if self.ok else 'INVALID'} ({', '.join(counts)})"

    def __str__(self) -> str:
        listed = (*self.failures, *self.warnings)
        return "\n".join([self._heading, *(f"  {finding}" for finding in listed)])


@dataclass(frozen=True)
class ModuleReport:
    """Reports on all classes of a module; iterating yields them.

    Attributes:
        module: Name of the module.
        reports: One report per class.
    """

    module: str
    reports: tuple[Report, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed; warnings and skipped checks do not count."""
        return all(report.ok for report in self.reports)

    def __iter__(self) -> Iterator[Report]:
        return iter(self.reports)

    def __len__(self) -> int:
        return len(self.reports)

    def __getitem__(self, index: int) -> Report:
        return self.reports[index]

    def to_dict(self) -> dict[str, Any]:
        """Convert the reports to a JSON-serializable dict."""
        reports = [report.to_dict() for report in self.reports]
        return {"module": self.module, "ok": self.ok, "reports": reports}

    def _repr_html_(self) -> str:
        return "".join(report._repr_html_() for report in self.reports)

    def __repr__(self) -> str:
        valid = sum(report.ok for report in self.reports)
        return f"ModuleReport({self.module}: {valid} of {len(self)} classes are valid)"

    def __str__(self) -> str:
        return "\n".join(map(str, self.reports))
