"""Parametrized pytest cases, one for each class that a module defines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visiongarden.testing.report import Report


@dataclass(frozen=True)
class Case:
    """Class under test together with the options for `check`.

    Attributes:
        cls: Layer, part or model class.
        options: Keyword arguments for `check`.
    """

    cls: type
    options: dict[str, Any] = field(default_factory=dict)

    def check(self, inputs: Any = None, **options: Any) -> Report:
        """Check the class and return the report.

        Args:
            inputs: Inputs, as in `visiongarden.testing.check`.
            **options: Keyword arguments for `check`. They override the options of the case.
        """
        from visiongarden.testing.checking import check_one

        return check_one(self.cls, inputs, **(self.options | options))

    def assert_valid(self, inputs: Any = None, **options: Any) -> None:
        """Check the class and raise if any check fails.

        Args:
            inputs: Inputs, as in `visiongarden.testing.check`.
            **options: Keyword arguments for `check`. They override the options of the case.

        Raises:
            AssertionError: If a check fails. The message lists the failed checks with evidence and
                advice.
        """
        report = self.check(inputs, **options)
        if not report.ok:
            raise AssertionError(str(report))

    def __str__(self) -> str:
        return self.cls.__name__


def cases(target: str, **options: Any) -> list[Case]:
    """Create a test case for each component of a module.

    Pass the result to `pytest.mark.parametrize`.

    Args:
        target: `package.module`, or `package.module:Name` for one class. The module is imported.
        **options: Keyword arguments for `check`, such as `backends` or `skip`.

    Raises:
        UserError: If the module cannot be imported or defines no such class.

    Example:
        >>> @pytest.mark.parametrize("case", cases("my_project.blocks"), ids=str)
        ... def test_is_valid(case):
        ...     case.assert_valid()
    """
    from visiongarden.testing.discovery import discover

    return [Case(cls, options) for cls in discover(target)]
