"""What a check found, as values: a `Finding` a check, a `Report` a class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.table import Table

Status = Literal["passed", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: the check's name, as in `CHECKS`.
        status: "passed", "failed", "warning" for a limitation that is not an error, or "skipped"
            with the reason as evidence.
        evidence: what was seen: numbers, shapes, names.
        advice: what to change, where it failed.
    """

    check: str
    status: Status
    evidence: str
    advice: str = ""

    def named(self, check: str) -> Finding:
        """The same finding under a check's name."""
        return replace(self, check=check)

    def __str__(self) -> str:
        advice = f"\n    advice: {self.advice}" if self.advice else ""
        return f"{self.check}: {self.status}: {self.evidence}{advice}"


def passed(evidence: str) -> Finding:
    """What a check returns when all is well."""
    return Finding("", "passed", evidence)


def failed(evidence: str, advice: str) -> Finding:
    """What a check returns when something is wrong."""
    return Finding("", "failed", evidence, advice)


def warned(evidence: str, advice: str) -> Finding:
    """What a check returns for a limitation, or for what may be meant."""
    return Finding("", "warning", evidence, advice)


def skipped(reason: str) -> Finding:
    """What a check returns when it says nothing about this subject."""
    return Finding("", "skipped", reason)


@dataclass(frozen=True)
class Report:
    """All findings about one layer, part or model."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(f for f in self.findings if f.status == "failed")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are limitations, not errors."""
        return tuple(f for f in self.findings if f.status == "warning")

    def __getitem__(self, check: str) -> Finding:
        for finding in self.findings:
            if finding.check == check:
                return finding
        if any(f.check == "runs" and f.status == "failed" for f in self.findings):
            return skipped("`runs` fails").named(check)
        raise KeyError(check)

    def with_findings(self, more: Iterable[Finding]) -> Report:
        """This report with more findings at its end."""
        return replace(self, findings=(*self.findings, *more))

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and strings, as JSON can hold."""
        return {
            "subject": self.subject,
            "ok": self.ok,
            "findings": [vars(finding) for finding in self.findings],
        }

    def table(self) -> Table:
        """The findings as a table for a terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=str(self).splitlines()[0], title_justify="left", show_lines=False)
        for heading in ("check", "", "evidence and advice"):
            table.add_column(heading, overflow="fold")
        colors = {"passed": "green", "failed": "bold red", "warning": "yellow", "skipped": "dim"}
        for finding in self.findings:
            text = finding.evidence + (f"\n→ {finding.advice}" if finding.advice else "")
            status = Text(finding.status, style=colors[finding.status])
            table.add_row(finding.check, status, Text(text))
        return table

    def __str__(self) -> str:
        counts = [
            f"{sum(f.status == status for f in self.findings)} {status}"
            for status in ("passed", "failed", "skipped")
        ]
        if self.warnings:
            counts.append(f"{len(self.warnings)} warning{'s' * (len(self.warnings) > 1)}")
        head = f"{self.subject}: {'sound' if self.ok else 'NOT sound'} ({', '.join(counts)})"
        told = (*self.failures, *self.warnings)
        return "\n".join([head, *(f"  {finding}" for finding in told)])
