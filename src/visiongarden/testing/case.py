"""Test cases for pytest: one for each class of a module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visiongarden.testing.report import Report


@dataclass(frozen=True)
class Case:
    """A class that a test checks, with the options of `check`."""

    cls: type
    options: dict[str, Any] = field(default_factory=dict)

    def check(self, inputs: Any = None, **options: Any) -> Report:
        """The report; options given here win over those of the case."""
        from visiongarden.testing.checking import check

        return check(self.cls, inputs, **(self.options | options))

    def assert_sound(self, inputs: Any = None, **options: Any) -> None:
        """As `assert_sound` of the room.

        Raises:
            AssertionError: the findings that failed, with evidence and advice.
        """
        report = self.check(inputs, **options)
        if not report.ok:
            raise AssertionError(str(report))

    def __str__(self) -> str:
        return self.cls.__name__


def cases(target: str, **options: Any) -> list[Case]:
    """A case for each class of a module, for `@pytest.mark.parametrize("case", ..., ids=str)`.

    Args:
        target: `package.module`, or `package.module:Name`; it is imported.
        **options: as of `check`: `backends`, `skip`.

    Example:
        >>> @pytest.mark.parametrize("case", cases("my_project.blocks"), ids=str)
        ... def test_sound(case):
        ...     case.assert_sound()
    """
    from visiongarden.testing.discovery import discover

    return [Case(cls, options) for cls in discover(target)]
