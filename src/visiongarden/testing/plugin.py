"""Pytest plugin that parametrizes a test over the components of a module.

    @pytest.mark.visiongarden("my_project.blocks")
    def test_is_valid(case):
        case.assert_valid()

Pytest loads the plugin in every run, so Keras is imported only when a test with the mark is
collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_MARK = (
    "visiongarden(module, ..., backends=None, skip=()): run the test for each component of the "
    "modules, with the argument `case`"
)


def pytest_configure(config: Any) -> None:
    """Register the `visiongarden` mark with pytest."""
    config.addinivalue_line("markers", _MARK)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a marked test with one case per class of the modules named in its mark."""
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
