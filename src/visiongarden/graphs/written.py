"""Source code that constructs a registered layer."""

from __future__ import annotations

import inspect
import keyword
from typing import Any

import keras

from visiongarden.registry import key_of

_PLAIN = (int, float, str, bool, type(None))


def written(layer: Any) -> tuple[str, str]:
    """Return module and constructor call of a registered layer.

    For example ("cells.layers", "Scale(factor=2)"). Returns ("", "") for layers of Keras, for
    operations, for classes that cannot be imported by name, and if an argument is not a number,
    text or a list of them.
    """
    cls = type(layer)
    if not isinstance(layer, keras.Layer) or not _is_registered(cls):
        return "", ""
    arguments = _arguments(layer)
    names = (*cls.__module__.split("."), cls.__qualname__)
    importable = all(name.isidentifier() and not keyword.iskeyword(name) for name in names)
    if arguments is None or not importable or cls.__module__ == "__main__":
        return "", ""
    return cls.__module__, f"{cls.__name__}({', '.join(arguments)})"


def _is_registered(cls: type) -> bool:
    if cls.__module__.split(".")[0] == "keras":
        return False
    return key_of(cls) is not None or keras.saving.get_registered_name(cls) != cls.__name__


def _arguments(layer: Any) -> list[str] | None:
    """Return the arguments that differ from their defaults; None if one cannot be written."""
    try:
        config = layer.get_config()
    except Exception:  # a user's get_config may raise anything
        return None
    arguments = []
    for name, parameter in list(inspect.signature(type(layer)).parameters.items()):
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or name in (
            "name",
            "dtype",
            "trainable",
        ):
            continue
        if name not in config:
            if parameter.default is parameter.empty:
                return None
            continue
        value = config[name]
        if parameter.default is not parameter.empty and value == parameter.default:
            continue
        if not _is_plain(value):
            return None
        arguments.append(f"{name}={_source(value)}")
    return arguments


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    # Generated calls are split at ", " to lay them out; a string must not be split.
    return isinstance(value, _PLAIN) and ", " not in str(value)


def _source(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        items = ", ".join(map(_source, value))
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    return '"' + value + '"' if _is_simple_text(value) else repr(value)


def _is_simple_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and not set(value) & {'"', "\\"}
