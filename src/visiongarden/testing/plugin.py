"""The pytest plugin: `@pytest.mark.visiongarden("my_project.blocks")` gives a test its cases.

    @pytest.mark.visiongarden("my_project.blocks")
    def test_sound(case):
        case.assert_sound()

Keras starts when a test with the mark is collected, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_MARK = (
    "visiongarden(module, ..., backends=None, skip=()): runs the test for each layer, block and "
    "part of the modules; it takes `case`"
)


def pytest_configure(config: Any) -> None:
    """Makes the mark known."""
    config.addinivalue_line("markers", _MARK)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each class of the marked modules."""
    marks = list(metafunc.definition.iter_markers("visiongarden"))
    if not marks or "case" not in metafunc.fixturenames:
        return
    import pytest

    from visiongarden.errors import UserError
    from visiongarden.testing.case import cases

    try:
        found = [c for m in marks for name in m.args for c in cases(name, **m.kwargs)]
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    metafunc.parametrize("case", found, ids=str)
