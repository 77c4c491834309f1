"""`available` and `describe`: what can be used by name, and the fields of one component."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from visiongarden import plugins, registry
from visiongarden.config import Named, Typed
from visiongarden.errors import UserError, nearest
from visiongarden.kinds import PACKAGE, Kind, kind_named, named
from visiongarden.layers import Composite
from visiongarden.scaffold.fields import FieldEntry, first_line, of_function, of_typed, of_values
from visiongarden.training import VectorOptimizer


@dataclass(frozen=True)
class Entry:
    """A component of a kind.

    Attributes:
        kind: Name of the kind.
        name: Name in recipes, or of the class.
        package: "visiongarden", "keras", the package of the registered key, or the name and version
            of an installed package that is not imported.
        description: First line of its documentation.
        path: `module:Name`.
        base: Name of its base class among those of the kind; "" if it is not imported.
    """

    kind: str
    name: str
    package: str
    description: str
    path: str
    base: str = ""


@dataclass(frozen=True)
class Description:
    """A component with its fields.

    Attributes:
        entry: The component.
        fields: Its fields, or the parameters of its constructor.
    """

    entry: Entry
    fields: tuple[FieldEntry, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry and the fields as plain values."""
        return vars(self.entry) | {"fields": [vars(field) for field in self.fields]}


def available(kind: str) -> list[Entry]:
    """Return the components of a kind: first those of visiongarden and Keras, then custom ones.

    Components of installed packages that are not imported are listed by their metadata.

    Args:
        kind: Name of a kind, see `visiongarden.kinds.KINDS`.

    Raises:
        UserError: There is no such kind.

    Example:
        >>> [entry.name for entry in available("assigner")][:2]
        ['AnchorIoU', 'SimOTA']
    """
    of = kind_named(kind)
    found = [_entry(of, name, value) for name, value in _objects(of).items()]
    known = {entry.path for entry in found}
    return [*found, *(e for e in _of_packages(of) if e.path not in known and not _is_known(e, of))]


def describe(kind: str, name: str) -> Description:
    """Return a component with its fields: name, type, default, description.

    The package of the component is imported.

    Args:
        kind: Name of a kind.
        name: Name as in `available`, `package>Name`, or `package.module:Name`.

    Raises:
        UserError: There is no such kind, or no such component of it.

    Example:
        >>> [field.name for field in describe("assigner", "TaskAligned").fields]
        ['top_k', 'alpha', 'beta']
    """
    of = kind_named(kind)
    value = _object(of, name)
    return Description(_entry(of, name, value), tuple(_fields(value)))


def _entry(kind: Kind, name: str, value: Any) -> Entry:
    bases = [
        base.__name__
        for base in (kind.classes() if isinstance(value, type) else ())
        if issubclass(value, base)
    ]
    text = first_line(value)
    return Entry(kind.name, name, _package(value), text, _path(value), next(iter(bases), ""))


def _object(kind: Kind, name: str) -> Any:
    objects = _objects(kind)
    if name in objects:
        return objects[name]
    by_key = {_key(value): value for value in objects.values()}
    by_path = {_path(value): value for value in objects.values()}
    by_class = {value.__name__: value for value in objects.values()}
    if (value := (by_key | by_path | by_class).get(name)) is not None:
        return value
    with plugins.imported_by_name():
        provided = plugins.find(kind.name, name)
    if provided is not None:
        return provided
    if kind.lookup and (":" in name or ">" in name):
        found: Any = named(kind.lookup).find(name)  # whose error names the missing import
        return found
    raise UserError(
        f"there is no {kind.name} {name!r}",
        rule="a name of `visiongarden list " + kind.name + "`; import the module of your own "
        "(on the command line: --import MODULE)",
        fix=nearest(name, [*objects, *(plugin.name for plugin in plugins.of_kind(kind.name))]),
    )


def _objects(kind: Kind) -> dict[str, Any]:
    """Return the classes of a kind by name; functions of activations."""
    home = importlib.import_module(kind.home)  # which registers what it has
    if kind.name == "activation":
        return _activations()
    if kind.is_keras:
        found: dict[str, Any] = named(kind.lookup).kinds()
        # Ours first: they are the fast defaults.
        return dict(sorted(found.items(), key=lambda item: not _is_default(item[1])))
    lookup = named(kind.lookup) if kind.lookup else None
    if isinstance(lookup, type) and issubclass(lookup, Named):
        # By what recipes and options contain: the name of a task, the format of an exporter.
        named_classes = lookup.by_name().items()
        return dict(sorted(named_classes, key=lambda item: (_package(item[1]) != PACKAGE, item[0])))
    exported = [vars(home)[name] for name in home.__all__] if kind.is_exported else []
    return _by_name(kind, exported)


def _by_name(kind: Kind, exported: list[Any]) -> dict[str, Any]:
    """Return the classes by name, or by key where several share a name; ours come first."""
    bases = kind.classes()
    classes: dict[type, None] = {}
    for base in bases:
        for entry in registry.registered(base).values():
            classes[entry.cls] = None
    ours = [c for c in classes if _package(c) == PACKAGE]
    if kind.is_exported:
        ours = [c for c in exported if isinstance(c, type) and issubclass(c, bases)]
    own = [c for c in classes if not _package(c).startswith(PACKAGE)]
    if kind.name == "layer":
        own = [c for c in own if not issubclass(c, Composite | keras.Model)]
    everything = [c for c in (*ours, *own) if c not in bases]
    names = [c.__name__ for c in everything]
    return {
        c.__name__ if names.count(c.__name__) == 1 else str(_key(c)): c
        for c in sorted(everything, key=lambda c: (c not in ours, c.__name__))
    }


def _activations() -> dict[str, Any]:
    """Return the functions of Keras by name, and registered ones by key."""
    public = {
        name: value
        for name, value in vars(keras.activations).items()
        if inspect.isfunction(value) and name not in ("deserialize", "get", "serialize")
    }
    registered = {
        key: value
        for key, value in keras.saving.get_custom_objects().items()
        if inspect.isfunction(value) and value not in public.values()
    }
    return dict(sorted(public.items())) | dict(sorted(registered.items()))


def _is_default(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, VectorOptimizer)


def _of_packages(kind: Kind) -> Iterator[Entry]:
    for plugin in plugins.of_kind(kind.name):
        text = f"not imported; --import {plugin.module}"
        yield Entry(kind.name, plugin.name, plugin.package, text, plugin.path)


def _is_known(entry: Entry, kind: Kind) -> bool:
    """Return whether the object of an entry point is imported; its module may be another one."""
    plugin = next(p for p in plugins.of_kind(kind.name) if p.path == entry.path)
    return plugin.key in registry.registered()


def _key(value: Any) -> str | None:
    return registry.key_of(value) if isinstance(value, type) else None


def _package(value: Any) -> str:
    key = _key(value)
    return key.partition(">")[0] if key else str(value.__module__).partition(".")[0]


def _path(value: Any) -> str:
    return f"{value.__module__}:{value.__qualname__}"


def _fields(value: Any) -> Iterable[FieldEntry]:
    if not isinstance(value, type):
        function: Callable[..., Any] = value
        return of_function(function)
    return of_typed(value) if issubclass(value, Typed) else of_values(value)
