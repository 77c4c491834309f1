"""Register layers, blocks and parts under the key `package>Name`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from visiongarden.errors import UserError

T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Registered:
    """Entry of the registry.

    Attributes:
        key: `package>Name`, as saved in files.
        cls: the class.
        module: module that registers the class when it is imported.
    """

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
    """Make a layer, block or part serializable under the key `package>Name`.

    Args:
        cls: the class, when the decorator is used without parentheses: `@vg.register`.
        package: first half of the key; by default the class's top-level Python package.
        name: second half of the key; by default the class's name.

    Returns:
        The class itself.

    Raises:
        UserError: another class has the key, or a half of the key is empty or contains `>`.

    Example:
        >>> @vg.register(package="garden")
        ... class Hedge(keras.layers.Layer):
        ...     pass
        >>> keras.saving.get_registered_name(Hedge)
        'garden>Hedge'
    """

    def decorate(cls: T) -> T:
        package_name = package or cls.__module__.split(".")[0]
        class_name = name or cls.__name__
        for half in (package_name, class_name):
            if not half or ">" in half:
                raise UserError(
                    f"cannot register {cls.__name__} under {package_name!r} > {class_name!r}",
                    rule='package and name are not empty and do not contain ">"',
                )
        key = f"{package_name}>{class_name}"
        _refuse_other_class(key, cls)
        # A class of Keras, or a part; any class may be registered.
        if hasattr(cls, "get_config"):
            # Here, not above: plain values without `get_config` are registered without Keras,
            # whose import starts a backend.
            import keras

            keras.saving.register_keras_serializable(package_name, class_name)(cls)
        _known[key] = Registered(key, cls, cls.__module__)
        return cls

    return decorate if cls is None else decorate(cls)


def _refuse_other_class(key: str, cls: type) -> None:
    existing = _known.get(key)
    # A notebook cell or a reloaded module defines the same class again; the new one replaces it.
    if existing and (existing.module, existing.cls.__qualname__) != (
        cls.__module__,
        cls.__qualname__,
    ):
        raise UserError(
            f"the key {key!r} is already registered for another class",
            rule="one class for each key, so that files reopen with the class that they contain",
            received=f"{existing.module}.{existing.cls.__qualname__} and "
            f"{cls.__module__}.{cls.__qualname__}",
            fix=f'@vg.register(package="{key.split(">")[0]}", name="another name")',
        )


def registered(kind: type = object) -> dict[str, Registered]:
    """Return the registered subclasses of `kind` by key, in alphabetical order."""
    return {key: r for key, r in sorted(_known.items()) if issubclass(r.cls, kind)}


def key_of(cls: type) -> str | None:
    """Return the key of a class, or None if it is not registered."""
    return next((key for key, r in _known.items() if r.cls is cls), None)
