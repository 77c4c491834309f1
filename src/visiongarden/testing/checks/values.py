"""Checks of every component that is named in a recipe: its registration and its fields."""

from __future__ import annotations

from typing import Any, Protocol

from visiongarden import registry
from visiongarden.config import Typed, dump_yaml, load_yaml
from visiongarden.testing.report import Finding, failed, passed, skipped


class OfTyped(Protocol):
    """A subject whose value is typed."""

    @property
    def cls(self) -> Any:
        """The class."""

    @property
    def value(self) -> Any:
        """The instance."""


def registered(subject: OfTyped) -> Finding:
    """Check that a recipe can name the class."""
    key = registry.key_of(subject.cls)
    if key is None:
        return failed(
            f"{subject.cls.__name__} is not registered, so no recipe can name it",
            f'put @vg.register(package="my_project") above class {subject.cls.__name__}',
        )
    return passed(key)


def round_trip(subject: OfTyped) -> Finding:
    """Check that the fields are restored from YAML."""
    if registry.key_of(subject.cls) is None:
        return skipped("`registered` fails")
    fields = subject.value.to_dict()
    again = Typed.from_dict(load_yaml(dump_yaml(fields)))
    restored = again.to_dict()
    if restored != fields:
        name = next(name for name in fields if restored.get(name) != fields[name])
        return failed(
            f"the field {name!r} is {fields[name]!r:.100}, restored {restored.get(name)!r:.100}",
            "declare each argument as an annotated field: `strength: float = 0.5`",
        )
    return passed(f"{len(fields) - 1} fields")
