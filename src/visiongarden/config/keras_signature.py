"""`parameters_of`: what the constructor of a class takes, and checks of arguments against it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visiongarden.errors import ConfigError, nearest

_REQUIRED = inspect.Parameter.empty
_TEXT_TOO = frozenset({"profile_batch"})
"""Parameters whose default is a number and that also take text or a list."""


@dataclass(frozen=True)
class Parameters:
    """Parameters of a constructor.

    Attributes:
        defaults: Name -> default, or `inspect.Parameter.empty` where the argument is required.
        any: Whether the constructor takes further arguments that it does not name.
    """

    defaults: Mapping[str, Any]
    any: bool

    @property
    def required(self) -> list[str]:
        """Names of the parameters without a default."""
        return [name for name, default in self.defaults.items() if default is _REQUIRED]

    def __str__(self) -> str:
        return ", ".join(
            name if default is _REQUIRED else f"{name}={default!r}"
            for name, default in self.defaults.items()
        )

    def check(self, owner: str, arguments: Mapping[str, Any]) -> None:
        """Check names and types of arguments.

        Args:
            owner: Name of the class, for the error.
            arguments: Arguments by name, as plain data.

        Raises:
            ConfigError: An argument is unknown or missing, or its type is not that of the default.
        """
        for name, value in arguments.items():
            if name not in self.defaults and not self.any:
                raise ConfigError(
                    f"{owner} has no argument {name!r}",
                    fix=nearest(name, self.defaults) or f"{owner} has no arguments",
                )
            rule = _type_rule(name, self.defaults.get(name), value)
            if rule:
                raise ConfigError(
                    f"argument {name!r} of {owner} must be {rule}",
                    received=f"{value!r:.80}",
                    fix=f"{name}: {_as_yaml(self.defaults[name])}",
                )
        missing = [name for name in self.required if name not in arguments]
        if missing:
            raise ConfigError(
                f"{owner} needs {_listed(missing)}",
                rule=f"{owner}({self})",
                fix=f"{{type: {owner}, {', '.join(f'{name}: ...' for name in missing)}}}",
            )


def parameters_of(kind: type) -> Parameters:
    """Return the parameters of a class's constructor, with those that it hands on to its bases."""
    defaults: dict[str, Any] = {}
    owners = [each for each in kind.__mro__ if "__init__" in vars(each) and each is not object]
    first: type = next(iter(owners), object)
    last: type = object
    for each in owners:
        last, (_, *found) = each, inspect.signature(vars(each)["__init__"]).parameters.values()
        for parameter in found:
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                # What a base requires, the class itself may provide.
                inherited = None if parameter.default is _REQUIRED else parameter.default
                default = parameter.default if each is first else inherited
                defaults.setdefault(parameter.name, default)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in found):
            return Parameters(defaults, any=False)
    # The constructors of Keras refuse arguments that none of them names.
    own = last is not object and not last.__module__.startswith("keras.")
    return Parameters(defaults, any=own)


def _type_rule(name: str, default: Any, value: Any) -> str | None:
    """Return what the type of a value must be, or None if it may be right."""
    if value is None or default is None or default is _REQUIRED:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    # A number may be replaced by an object, such as a schedule.
    if isinstance(default, int | float) and not is_number and name not in _TEXT_TOO:
        return None if isinstance(value, Mapping) and "type" in value else "a number"
    if isinstance(default, str) and isinstance(value, bool):
        return "text"
    return None


def _as_yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(names: list[str]) -> str:
    """Return "the argument 'a'", or "the arguments 'a', 'b'"."""
    noun = "argument" if len(names) == 1 else "arguments"
    return f"the {noun} {', '.join(map(repr, names))}"
