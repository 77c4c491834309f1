"""Base classes of typed values: frozen fields that are validated and convert to plain dicts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from visiongarden import plugins, registry
from visiongarden.config.explain import explain
from visiongarden.config.files import is_writing_files
from visiongarden.errors import ConfigError, nearest
from visiongarden.kinds import KINDS, PACKAGE, kind_looked_up_in

_Kind = TypeVar("_Kind", bound=type)

REGISTERED = (
    "files and recipes contain registered classes; a derived class is registered separately"
)
"""Rule of errors about classes that are not registered."""


class Value(BaseModel):
    """Frozen pydantic model with validated fields, compared by content.

    Unknown fields are refused, and defaults are validated too.

    Raises:
        ConfigError: a field is unknown, missing or invalid. The message names each such field.

    Example:
        >>> class Size(vg.config.Value):
        ...     width: int = 1
        >>> Size(width=2).to_dict()
        {'width': 2}
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    _takes_overrides: ClassVar[bool] = False

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise explain(error, type(self), fields, type(self)._takes_overrides) from None

    # With this mark of pydantic's own `__init__`, a nested value is validated without calling the
    # method above. The error is then explained once, by the outermost value, and its field paths
    # start there.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, validated again.

        Raises:
            ConfigError: a changed field is unknown or invalid.
        """
        values = dict(self)
        fields = {name: values[name] for name in type(self).model_fields}
        return type(self)(**(fields | changes))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as dicts, lists, strings and numbers, as YAML and JSON store them."""
        values = dict(self)
        return {name: _plain(values[name]) for name in type(self).model_fields}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the value whose `to_dict` is `data`.

        Raises:
            ConfigError: a field is unknown, missing or invalid. The message names each such field.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise explain(error, cls, data, cls._takes_overrides) from None

    def __str__(self) -> str:
        """Return the value with the name of its class, as `repr` does."""
        return repr(self)


class Typed(Value):
    """Base class of values with several registered subclasses, written `{type: Name, field: ...}`.

    `type` is the name of a registered subclass, its key `package>Name`, or `package.module:Name`.
    A string alone, `Name`, is short for `{type: Name}`.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as `Value.to_dict` does, with the `type` that `from_dict` looks up."""
        return {"type": self._type_name()} | super().to_dict()

    @classmethod
    def kinds(cls) -> dict[str, type[Self]]:
        """Return the registered subclasses by name, or by key where several share a name."""
        found = registry.registered(cls)
        names = [key.split(">")[1] for key in found]
        return {
            (key if names.count(key.split(">")[1]) > 1 else key.split(">")[1]): r.cls
            for key, r in found.items()
        }

    @classmethod
    def find(cls, name: str) -> type[Self]:
        """Return the registered subclass of a name.

        A recipe or model file must not be able to run code by naming a module. Only an installed
        package that declares the class is imported, and only where the user gave the name, see
        `visiongarden.plugins`.

        Args:
            name: short name, key `package>Name`, or `package.module:Name` of an imported module.

        Raises:
            ConfigError: no subclass has this name, or several have it. The message lists the
                nearest names, or the import that is missing.
        """
        found = cls._registered_as(name)
        if found is not None:
            return found
        kind = kind_looked_up_in(cls)
        provided = None if kind is None else plugins.find(kind.name, name)
        if provided is not None:
            return cls._provided(name, provided)
        module, colon, inner = name.partition(":")
        if colon and module in sys.modules:
            raise cls._not_in(module, inner)
        if colon:
            raise ConfigError(
                f"{cls.__name__} {name!r} is not registered",
                rule="its module must be imported first; loading a file never imports modules",
                fix=f"import {module} (on the command line: --import {module})",
            )
        unregistered = cls.unregistered_as(name)
        if unregistered is not None:
            raise not_registered(cls.__name__, name, unregistered)
        more = [] if kind is None else [plugin.name for plugin in plugins.of_kind(kind.name)]
        bases = [
            base
            for key, entry in registry.registered(Typed).items()
            if name in (key, key.partition(">")[2]) and (base := _base_of(entry.cls))
        ]
        raise ConfigError(
            f"{name} is a {bases[0]} and cannot be used as {cls.__name__}"
            if bases
            else f"unknown {cls.__name__} {name!r}",
            rule="the name of a registered class; import the module of your own "
            "(on the command line: --import MODULE)",
            fix=nearest(name.rpartition(">")[2], [*cls.kinds(), *more]),
        )

    @classmethod
    def _not_in(cls, module: str, name: str) -> ConfigError:
        """Return the error of a name that an imported module does not have, or not registered."""
        value = vars(sys.modules[module]).get(name)
        if isinstance(value, type) and issubclass(value, cls):
            return not_registered(cls.__name__, f"{module}:{name}", value)
        names = [e.cls.__name__ for e in registry.registered(cls).values() if e.module == module]
        return ConfigError(
            f"unknown {cls.__name__} '{module}:{name}'",
            rule=f"a registered class of the module, derived from {cls.__name__}",
            fix=nearest(name, names) or f"@vg.register\nclass {name}({cls.__name__}): ...",
        )

    @classmethod
    def unregistered_as(cls, name: str) -> type[Self] | None:
        """Return the class of a name that is defined, but not registered, or None."""
        kinds = (kind for kind in subclasses(cls) if not _is_base(kind))
        return next((k for k in defined_as(name, kinds) if registry.key_of(k) is None), None)

    @classmethod
    def _registered_as(cls, name: str) -> type[Self] | None:
        """Return the registered subclass of a name, or None.

        Raises:
            ConfigError: Several packages have a class of this short name.
        """
        by_key = {key: entry.cls for key, entry in registry.registered(cls).items()}
        if name in by_key:
            return by_key[name]
        module, colon, class_name = name.partition(":")
        if colon:
            # Of an imported module; a module may also export a class of another one.
            value = vars(sys.modules[module]).get(class_name) if module in sys.modules else None
            return next((found for found in by_key.values() if found is value), None)
        keys = [key for key in by_key if key.partition(">")[2] == name]
        if keys:
            _refuse_ambiguous(cls, name, keys)
            return by_key[keys[0]]
        return None

    @classmethod
    def _provided(cls, name: str, found: Any) -> type[Self]:
        """Return a class that a plugin provides.

        Raises:
            ConfigError: It is not a registered subclass.
        """
        if any(found is entry.cls for entry in registry.registered(cls).values()):
            kind: type[Self] = found
            return kind
        raise ConfigError(
            f"{cls.__name__} {name!r} is not a registered class derived from {cls.__name__}",
            rule="the entry point of a package names a registered class",
            received=f"{found!r:.80}",
            fix=f"@vg.register\nclass {name.rpartition('>')[2]}({cls.__name__}): ...",
        )

    def _type_name(self) -> str:
        if is_writing_files() and (key := registry.key_of(type(self))):
            return key
        # Looked up among all `Typed` classes, so that a short name has one meaning in every field.
        name = next(
            (n for n, kind in Typed.kinds().items() if kind is type(self)), type(self).__name__
        )
        key = registry.key_of(type(self))
        if key and key != name and _rivals(type(self), name, [key]):
            return key
        return name

    @model_validator(mode="wrap")
    @classmethod
    def _by_type(cls, data: Any, handler: Callable[[Any], Self]) -> Self:
        if isinstance(data, cls):
            return data
        if isinstance(data, str):
            data = {"type": data}
        if isinstance(data, Mapping):
            fields = dict(data)
            name = fields.pop("type", None)
            if name is None and cls.__subclasses__() and _is_base(cls):
                raise ConfigError(
                    f"the type of {cls.__name__} is missing",
                    fix=f"add `type:`, one of {', '.join(cls.kinds())}",
                )
            kind = cls if name is None else cls.find(str(name))
            # Pydantic prefixes the path of this field to those in a ValidationError raised here.
            return handler(fields) if kind is cls else kind.model_validate(fields)
        return handler(data)


def _refuse_ambiguous(cls: type, name: str, keys: list[str]) -> None:
    """Raise an error if several packages have a class of this short name.

    Raises:
        ConfigError: Several classes are registered, or the package of the only one and another one
            that is installed both provide it.
    """
    rivals = _rivals(cls, name, keys)
    if rivals:
        raise plugins.ambiguous(str(_kind_name(cls)), name, rivals)


def _rivals(cls: type, name: str, keys: list[str]) -> list[str]:
    """Return the keys of the classes that share a short name; empty if it is not ambiguous.

    A class of visiongarden or of a module of the user is preferred to those of packages that are
    installed but not imported, so that installing a package changes the meaning of no name.
    """
    if len(keys) > 1:
        return keys
    if keys[0].startswith("visiongarden>"):
        return []
    provided = {plugin.key for plugin in plugins.providing(_kind_name(cls), name)}
    return sorted(provided) if keys[0] in provided and len(provided) > 1 else []


def _kind_name(cls: type) -> str:
    kind = kind_looked_up_in(cls)
    return cls.__name__ if kind is None else kind.name


class Concise(Typed):
    """Base class of typed values whose `repr` shows only fields that differ from the defaults.

    A full list would hide the few that matter. Required fields come first, as in a call; otherwise
    the fields of a base class would.
    """

    @classmethod
    def field_order(cls) -> list[str]:
        """Return the names of the fields, required ones first."""
        fields = cls.model_fields
        return sorted(fields, key=lambda name: not fields[name].is_required())

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        values = dict(super().__repr_args__())
        for name in self.field_order():
            field = type(self).model_fields[name]
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            if name in values and (field.is_required() or values[name] != default):
                yield name, values[name]


def _plain(value: Any) -> Any:
    if isinstance(value, Value):
        return value.to_dict()
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    return value


def unregistered_in(value: Any) -> Iterator[type]:
    """Yield the classes of the typed values in a value that are not registered."""
    if isinstance(value, Typed) and registry.key_of(type(value)) is None:
        yield type(value)
    inner: Any = value if isinstance(value, (list, tuple)) else ()
    if isinstance(value, Value | Mapping):
        inner = dict(value).values()
    for each in inner:
        yield from unregistered_in(each)


def defined_as(name: str, kinds: Iterable[_Kind]) -> Iterator[_Kind]:
    """Yield those classes that a name or key, such as `package>Name`, can mean."""
    package, _, class_name = name.rpartition(">")
    for kind in kinds:
        # A class may outlive its module, if that is imported again.
        is_there = kind.__module__.startswith(package) and kind.__module__ in sys.modules
        if is_there and kind.__name__ == class_name:
            yield kind


def not_registered(what: str, name: str, kind: type) -> ConfigError:
    """Return the error of a class that exists, but is not registered.

    Args:
        what: Kind of component, such as "Loss".
        name: Name of the class as the user wrote it.
        kind: The class.
    """
    return ConfigError(
        f"{what} {name!r} is not registered",
        rule=REGISTERED,
        received=f"the class {kind.__name__} of {kind.__module__}, without @vg.register",
        fix=registration(kind),
    )


def registration(kind: type) -> str:
    """Return the definition of a class with the line that registers it, for the fix of an error."""
    return f"@vg.register\nclass {kind.__name__}({kind.__bases__[0].__name__}): ..."


def subclasses(kind: type[Any]) -> Iterator[Any]:
    """Yield the classes that are derived from a class."""
    each: type[Any]
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def _is_base(cls: type) -> bool:
    """Return whether a class is one from which components are derived, and no component."""
    if registry.key_of(cls) is not None:
        return False
    return cls.__module__.partition(".")[0] == PACKAGE or _base_of(cls) is None


def _base_of(kind: type) -> str | None:
    """Return the name of the base class of a component, such as "ScoreLoss"; None for others."""
    bases = (b for b in kind.__mro__[1:] if any(known.is_base(b) for known in KINDS.values()))
    return next((base.__name__ for base in bases), None)
