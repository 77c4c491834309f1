"""`Named`: typed values that are also found by a class attribute, such as `Task.name`."""

from __future__ import annotations

from typing import ClassVar, Self

from visiongarden import plugins, registry
from visiongarden.config.value import Typed, not_registered, subclasses
from visiongarden.errors import ConfigError, UserError, nearest
from visiongarden.kinds import kind_looked_up_in


class Named(Typed):
    """Base class of typed values whose subclasses state a unique name in a class attribute.

    They are found by this name and by everything by which other typed values are found.

    Attributes:
        attribute: Name of the class attribute, such as "format".
        noun: What a subclass is called in errors, such as "export format".
    """

    attribute: ClassVar[str]
    noun: ClassVar[str]

    @classmethod
    def own_name(cls) -> str:
        """Return the value of the class attribute.

        Raises:
            UserError: The class lacks what every subclass must have.
        """
        raise NotImplementedError

    @classmethod
    def by_name(cls) -> dict[str, type[Self]]:
        """Return the registered subclasses by `own_name`.

        Raises:
            UserError: A subclass lacks a member, or two have one name.
        """
        found: dict[str, type[Self]] = {}
        for entry in registry.registered(cls).values():
            kind: type[Self] = entry.cls
            name = kind.own_name()
            if name in found:
                raise UserError(
                    f"the {cls.attribute} {name!r} is that of two classes: {place(found[name])} "
                    f"and {place(kind)}",
                    rule=f"one class for each {cls.noun}",
                    fix=f'{cls.attribute} = "my_{name}"',
                )
            found[name] = kind
        return found

    @classmethod
    def find(cls, name: str) -> type[Self]:
        """Return the registered subclass of a name.

        Args:
            name: The value of its class attribute, or a name as in `Typed.find`.

        Raises:
            ConfigError: There is no such subclass; the message lists the nearest names.
        """
        known = cls.by_name()
        if name in known:
            return known[name]
        kind = kind_looked_up_in(cls)
        provided = kind is not None and plugins.providing(kind.name, name)
        if name in cls.kinds() or provided or ">" in name or ":" in name:
            return super().find(name)
        unregistered = cls.unregistered_as(name)
        if unregistered is not None:
            raise not_registered(cls.__name__, name, unregistered)
        more = [] if kind is None else [plugin.name for plugin in plugins.of_kind(kind.name)]
        raise cls.unknown(name, sorted({*known, *more}))

    @classmethod
    def unregistered_as(cls, name: str) -> type[Self] | None:
        """Return the class of a name, of either sort, that is defined but not registered."""
        for kind in subclasses(cls):
            if vars(kind).get(cls.attribute) == name and registry.key_of(kind) is None:
                found: type[Self] = kind
                return found
        return super().unregistered_as(name)

    @classmethod
    def unknown(cls, name: str, names: list[str]) -> ConfigError:
        """Return the error of a name that no subclass has.

        Args:
            name: The name that was given.
            names: All names.
        """
        return ConfigError(
            f"unknown {cls.noun} {name!r:.90}",
            rule=f"the {cls.attribute} of a registered class; import the module of your own "
            "(on the command line: --import MODULE)",
            fix=nearest(name, names),
        )


def place(cls: type) -> str:
    """Return module and name of a class, for errors."""
    return f"{cls.__module__}.{cls.__qualname__}"
