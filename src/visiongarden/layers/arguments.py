"""Constructor arguments as JSON and back: numbers, texts, lists and dicts of them, and layers."""

from __future__ import annotations

import inspect
from typing import Any

import keras

_LAYER = {"class_name", "config"}
"""Keys by which Keras writes an object; a plain dict that has them too is wrapped."""
_PLAIN = "__plain_dict__"


def bound_arguments(cls: type, instance: Any, args: Any, kwargs: Any) -> dict[str, Any] | None:
    """Name -> value of all arguments of the constructor, defaults included.

    Keyword arguments of no parameter stand among the others; None where the call does not fit the
    constructor, which is about to raise.
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
    """An instance of the arguments that `bound_arguments` found."""
    names = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    kinds = [parameter.kind for parameter in names]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return cls(**arguments)
    star = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    left = dict(arguments)
    first = [left.pop(parameter.name) for parameter in names[:star] if parameter.name in left]
    return cls(*first, *left.pop(names[star].name, ()), **left)


def serialized(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, (list, tuple)):
        return [serialized(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        plain = {key: serialized(item) for key, item in value.items()}
        return {_PLAIN: plain} if _is_written(value) or _PLAIN in value else plain
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return keras.saving.serialize_keras_object(value)


def deserialized(value: Any) -> Any:
    """The value that `serialized` wrote; tuples come back as lists."""
    if isinstance(value, list):
        return [deserialized(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _is_written(value) or value.get("class_name") == "__tuple__":
        return keras.saving.deserialize_keras_object(value)
    plain = value[_PLAIN] if value.keys() == {_PLAIN} else value
    return {key: deserialized(item) for key, item in plain.items()}


def _is_written(value: dict[str, Any]) -> bool:
    return value.keys() >= _LAYER
