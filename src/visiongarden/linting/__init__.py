"""`lint`: static analysis of layers and parts, without running their code."""

from visiongarden.linting.finding import LintFinding, LintReport
from visiongarden.linting.source import lint

__all__ = ["LintFinding", "LintReport", "lint"]
