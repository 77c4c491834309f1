"""Serialize constructor arguments to JSON and back: numbers, strings, lists, dicts and layers."""

from __future__ import annotations

import inspect
from typing import Any

import keras

_LAYER = {"class_name", "config"}
"""Keys of an object serialized by Keras; a plain dict that contains both must be wrapped."""
_PLAIN = "__plain_dict__"


def bound_arguments(cls: type, instance: Any, args: Any, kwargs: Any) -> dict[str, Any] | None:
    """Return a dict of all constructor arguments by name, defaults included.

    Extra keyword arguments (`**kwargs`) are merged into the same dict. Returns None if the call
    does not match the signature of the constructor, which is then about to raise.
    """
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind(instance, *args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    arguments = dict(list(bound.arguments.items())[1:])
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name, {})
    return arguments


def construct(cls: type, arguments: dict[str, Any]) -> Any:
    """Build an instance of `cls` from the arguments that `bound_arguments` returned."""
    names = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    kinds = [parameter.kind for parameter in names]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return cls(**arguments)
    # Values of `*args` can only be passed by position, and so must all parameters before them.
    star = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    left = dict(arguments)
    first = [left.pop(parameter.name) for parameter in names[:star] if parameter.name in left]
    return cls(*first, *left.pop(names[star].name, ()), **left)


def serialized(value: Any) -> Any:
    """Convert a value to types that JSON can represent; layers become their Keras config."""
    if isinstance(value, (list, tuple)):
        return [serialized(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        plain = {key: serialized(item) for key, item in value.items()}
        return {_PLAIN: plain} if _is_written(value) or _PLAIN in value else plain
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return keras.saving.serialize_keras_object(value)


def deserialized(value: Any) -> Any:
    """Restore a value from the result of `serialized`; tuples are restored as lists."""
    if isinstance(value, list):
        return [deserialized(item) for item in value]
    if not isinstance(value, dict):
        return value
    # Keras writes a tuple as a dict with this class name.
    if _is_written(value) or value.get("class_name") == "__tuple__":
        return keras.saving.deserialize_keras_object(value)
    plain = value[_PLAIN] if value.keys() == {_PLAIN} else value
    return {key: deserialized(item) for key, item in plain.items()}


def _is_written(value: dict[str, Any]) -> bool:
    return value.keys() >= _LAYER
