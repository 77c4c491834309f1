"""Installed packages that provide components, known by their metadata and imported by name only.

A package declares each component in its entry points, `kind.name` -> `module:object`:

    [project.entry-points."visiongarden.plugins"]
    "backbone.AcmeNet" = "acme_vision.backbones:AcmeNet"

Reading this imports nothing. A package is imported when the user names one of its components: by
`import`, by `--import`, or in a recipe passed to a command or to `vg.train`. A model file, a
checkpoint or a dataset never causes an import.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from visiongarden.errors import ConfigError, nearest
from visiongarden.kinds import KINDS

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "visiongarden.plugins"
"""Group of the entry points."""

_PATH = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_VALUE = re.compile(rf"({_PATH}):([A-Za-z_]\w*)", re.ASCII)
_MAX_ENTRIES, _MAX_LENGTH = 500, 200


@dataclass(frozen=True)
class Plugin:
    """A component that an installed package provides.

    Attributes:
        kind: Name of its kind, such as "backbone".
        name: Short name; the `name` of a task, the `format` of a writer or exporter, else the name
            of the class.
        module: Module that registers the component.
        attribute: Name of the class in the module.
        package: Name and version of the package, as pip shows them.
    """

    kind: str
    name: str
    module: str
    attribute: str
    package: str

    @property
    def key(self) -> str:
        """Key under which the class is registered by default, `package>Name`."""
        return f"{self.module.partition('.')[0]}>{self.attribute}"

    @property
    def path(self) -> str:
        """Path of the class, `module:Name`."""
        return f"{self.module}:{self.attribute}"

    @property
    def names(self) -> tuple[str, str, str]:
        """The names by which a recipe may refer to the component."""
        return self.name, self.key, self.path

    def load(self) -> Any:
        """Import the module and return the object.

        Raises:
            ConfigError: The module cannot be imported, or does not have the object.
        """
        try:
            module = importlib.import_module(self.module)
        except (Exception, SystemExit) as error:  # a module may raise anything
            raise ConfigError(
                f"the {self.kind} {self.name} of the package {self.package} cannot be imported: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
                rule=f"{self.module} can be imported",
                received=self.path,
                fix=f"python -c 'import {self.module}'",
            ) from error
        if self.attribute not in vars(module):
            raise ConfigError(
                f"the package {self.package} does not define the {self.kind} {self.name}",
                rule=f"{self.module} defines {self.attribute}, as its entry point declares",
                received=nearest(self.attribute, [n for n in vars(module) if n[0] != "_"]),
                fix=f"pip install -U {self.package.partition(' ')[0]}",
            )
        return vars(module)[self.attribute]


@dataclass(frozen=True)
class InvalidEntry:
    """An entry point of the group that declares no component.

    Attributes:
        package: Name and version of the package.
        text: The entry point.
        reason: What is wrong with it.
    """

    package: str
    text: str
    reason: str


def installed() -> tuple[Plugin, ...]:
    """Return the components of installed packages, by their metadata; imports nothing."""
    return tuple(each for each in _entries(tuple(sys.path)) if isinstance(each, Plugin))


def invalid() -> tuple[InvalidEntry, ...]:
    """Return the entry points that declare no component."""
    return tuple(each for each in _entries(tuple(sys.path)) if isinstance(each, InvalidEntry))


def of_kind(kind: str) -> tuple[Plugin, ...]:
    """Return the installed components of a kind."""
    return tuple(plugin for plugin in installed() if plugin.kind == kind)


def providing(kind: str, name: str) -> tuple[Plugin, ...]:
    """Return the installed components of a kind that a name denotes."""
    return tuple(plugin for plugin in of_kind(kind) if name in plugin.names)


@lru_cache(maxsize=8)  # reading the metadata of hundreds of packages takes 50 ms
def _entries(path: tuple[str, ...]) -> tuple[Plugin | InvalidEntry, ...]:
    # Imported here: it takes 20 ms, a tenth of the start of a command.
    from importlib.metadata import distributions

    found: dict[tuple[str, str, str], Plugin | InvalidEntry] = {}
    seen: set[str] = set()
    for distribution in distributions(path=list(path)):
        try:
            package = _name_of(distribution)
            # The first one on the path is the one that Python imports.
            if package.partition(" ")[0].lower() in seen:
                continue
            seen.add(package.partition(" ")[0].lower())
            entries = [e for e in distribution.entry_points if e.group == GROUP]
        except Exception:  # noqa: S112  damaged metadata of any package are not ours to report
            continue
        for entry in entries[:_MAX_ENTRIES]:
            each = _entry(entry.name, entry.value, package)
            found[package, entry.name, entry.value] = each
    return tuple(sorted(found.values(), key=repr))


def _name_of(distribution: Distribution) -> str:
    return f"{distribution.metadata['Name']} {distribution.version}"[:_MAX_LENGTH]


def _entry(name: str, value: str, package: str) -> Plugin | InvalidEntry:
    text = f"{name} = {value}"[:_MAX_LENGTH]
    kind, dot, short = name.partition(".")
    match = _VALUE.fullmatch(value.strip())
    if kind not in KINDS:
        return InvalidEntry(package, text, f"there is no kind {kind[:40]!r} of component")
    if not dot or not short or len(text) >= _MAX_LENGTH or not short.isprintable():
        return InvalidEntry(package, text, 'the name is not "kind.Name"')
    if match is None:
        return InvalidEntry(package, text, 'the value is not "module:Name"')
    return Plugin(kind, short, match[1], match[2], package)


_named_by_user: ContextVar[bool] = ContextVar("named_by_user", default=False)


@contextmanager
def imported_by_name(allowed: bool = True) -> Iterator[None]:
    """Import the package of a component that is named inside the block, or refuse to.

    Args:
        allowed: True where names come from the user: a recipe passed to a command, an argument.
            False where they come from a file.
    """
    token = _named_by_user.set(allowed)
    try:
        yield
    finally:
        _named_by_user.reset(token)


def find(kind: str, name: str) -> Any:
    """Return the component of an installed package, imported; None if no package provides it.

    Args:
        kind: Name of a kind.
        name: Short name, `package>Name` or `module:Name`.

    Raises:
        ConfigError: Several packages provide the name, names are not from the user, see
            `imported_by_name`, or the package cannot be imported.
    """
    found = providing(kind, name)
    if not found:
        return None
    if len(found) > 1:
        raise ambiguous(kind, name, [plugin.key for plugin in found])
    if not _named_by_user.get():
        raise not_imported(found[0])
    return found[0].load()


def not_imported(plugin: Plugin) -> ConfigError:
    """Return the error of a component whose package is installed but not imported."""
    return ConfigError(
        f"the {plugin.kind} {plugin.name} is provided by the package {plugin.package}, which is "
        "installed but not imported",
        rule="a package is imported when you name it; a file never imports one",
        received=plugin.key,
        fix=f"import {plugin.module}  # on the command line: --import {plugin.module}",
    )


def ambiguous(kind: str, name: str, keys: list[str]) -> ConfigError:
    """Return the error of a short name that several packages provide."""
    return ConfigError(
        f"the {kind} {name!r} is ambiguous: {' and '.join(sorted(keys))} have this name",
        rule="the full name, package>Name, where several packages have the short one",
        received=name,
        fix=" or ".join(f"type: {key}" for key in sorted(keys)),
    )


def package_of(module: str) -> str | None:
    """Return the name of the installed package that contains a module; imports nothing.

    Args:
        module: Dotted name of a module.

    Returns:
        Name and version as pip shows them, the name alone if no component of it is declared, or
        None if no installed package contains the module.
    """
    from importlib.metadata import packages_distributions

    top = module.partition(".")[0]
    for plugin in installed():
        if plugin.module.partition(".")[0] == top:
            return plugin.package
    return next(iter(packages_distributions().get(top, ())), None)
