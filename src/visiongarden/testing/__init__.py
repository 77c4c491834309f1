"""Test kit for custom components of every kind: `check` and its pytest plugin.

Public names are imported on first access, because pytest loads the plugin in every test run and
importing Keras would start a backend even in projects that do not use the plugin.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visiongarden.testing.case import Case, cases
    from visiongarden.testing.checking import CHECKS, assert_valid, check_many, check_one
    from visiongarden.testing.component_checking import check_component
    from visiongarden.testing.discovery import check, check_module, discover
    from visiongarden.testing.report import Finding, ModuleReport, Report

__all__ = [
    "CHECKS",
    "Case",
    "Finding",
    "ModuleReport",
    "Report",
    "assert_valid",
    "cases",
    "check",
    "check_component",
    "check_many",
    "check_module",
    "check_one",
    "discover",
]

_HOME = {
    "CHECKS": "checking",
    "Case": "case",
    "Finding": "report",
    "ModuleReport": "report",
    "Report": "report",
    "assert_valid": "checking",
    "cases": "case",
    "check": "discovery",
    "check_component": "component_checking",
    "check_many": "checking",
    "check_module": "discovery",
    "check_one": "checking",
    "discover": "discovery",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # A name of the public table above, whose module is imported when it is first used.
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
