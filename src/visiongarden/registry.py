"""`register`: one decorator that makes a layer, block or part known under `package>Name`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from visiongarden.errors import UserError

T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Registered:
    """A registered class, its key and the module that must be imported to know it."""

    key: str
    cls: type
    module: str


_known: dict[str, Registered] = {}


@overload
def register(cls: T) -> T: ...
@overload
def register(*, package: str | None = None, name: str | None = None) -> Callable[[T], T]: ...
def register(
    cls: type | None = None, *, package: str | None = None, name: str | None = None
) -> Any:
    """Makes a layer, block or part serialisable under the key `package>Name`.

    Args:
        cls: the class, when used without brackets: `@vg.register`.
        package: first half of the key; by default the class's top-level Python package.
        name: second half of the key; by default the class's name.

    Raises:
        UserError: another class has the key, or a half of the key holds `>` or is empty.
    """

    def decorate(cls: T) -> T:
        own_package = package or cls.__module__.split(".")[0]
        own_name = name or cls.__name__
        for half in (own_package, own_name):
            if not half or ">" in half:
                raise UserError(
                    f"cannot register {cls.__name__} under {own_package!r} > {own_name!r}",
                    rule='package and name are not empty and hold no ">"',
                )
        key = f"{own_package}>{own_name}"
        _refuse_second(key, cls)
        if hasattr(cls, "get_config"):
            import keras

            keras.saving.register_keras_serializable(own_package, own_name)(cls)
        _known[key] = Registered(key, cls, cls.__module__)
        return cls

    return decorate if cls is None else decorate(cls)


def _refuse_second(key: str, cls: type) -> None:
    first = _known.get(key)
    # A cell or a module that is run again defines the same class anew: that one replaces.
    if first and (first.module, first.cls.__qualname__) != (cls.__module__, cls.__qualname__):
        raise UserError(
            f"two classes want the key {key!r}",
            rule="a key names one class, or files would reopen as the wrong one",
            received=f"{first.module}.{first.cls.__qualname__} and "
            f"{cls.__module__}.{cls.__qualname__}",
            fix=f'@vg.register(package="{key.split(">")[0]}", name="another name")',
        )


def registered(kind: type = object) -> dict[str, Registered]:
    """All registered classes that derive from `kind`, by key."""
    return {key: r for key, r in sorted(_known.items()) if issubclass(r.cls, kind)}


def key_of(cls: type) -> str | None:
    """The key that a class is registered under, or None."""
    return next((key for key, r in _known.items() if r.cls is cls), None)
