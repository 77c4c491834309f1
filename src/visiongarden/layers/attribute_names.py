"""Attribute names that are reserved by Keras and its backends.

Keras saves the sublayers that it finds in a layer's attributes, except under the names that every
layer has. A sublayer assigned to `self._layers` would be trained, but missing in the saved file.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

import keras

from visiongarden.backends.reserved_names import OF_OTHER_BACKENDS
from visiongarden.backends.sublayers import children
from visiongarden.errors import UserError

_OF_COMPOSITE = frozenset({"_arguments", "_output_shapes"})
_KERAS = ("keras", "tensorflow", "torch", "jax", "flax")


@functools.cache
def reserved() -> frozenset[str]:
    """Return the names of all attributes and methods of a plain Keras layer."""
    return frozenset(dir(keras.layers.Layer(name="plain"))) | OF_OTHER_BACKENDS | _OF_COMPOSITE


def refuse_reserved(layer: keras.Layer, name: str, value: Any) -> None:
    """Raise an error if a class assigns a value to an attribute name that Keras uses.

    Assignments by Keras itself are allowed. Public attributes that can be set, such as `trainable`,
    accept any value except layers and variables.

    Args:
        layer: the layer whose attribute is set.
        name: name of the attribute.
        value: the assigned value.

    Raises:
        UserError: the name is reserved; the message suggests another one.
    """
    if name not in reserved() or _assigned_by_keras():
        return
    # Any attribute of a custom class, by its name.
    found = getattr(type(layer), name, None)
    read_only = isinstance(found, property) and found.fset is None
    if not name.startswith("_") and not read_only and not any(_kept_in(value)):
        return
    public = name.strip("_")
    better = f"inner_{public}" if public in reserved() else public
    raise UserError(
        f"{type(layer).__name__} assigns to self.{name}, a name that is reserved by Keras",
        rule="attributes do not reuse names of keras.Layer; such values are "
        "not saved, or change how the layer works",
        fix=f"rename it to self.{better}",
    )


def _assigned_by_keras() -> bool:
    """Return whether the assignment is made by code of Keras or of a backend."""
    # Frame 0 is this function, 1 is refuse_reserved; above are the __setattr__ of the classes.
    frame = sys._getframe(2)
    while frame.f_code.co_name == "__setattr__" and frame.f_back is not None:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _KERAS


def unsaved(layer: keras.Layer) -> list[keras.Layer]:
    """Return the sublayers that Keras tracks but no attribute holds; a file would lack them."""
    # All attributes of a custom layer; a property may raise an AttributeError.
    kept = {id(each) for name in _names(layer) for each in _kept_in(getattr(layer, name, None))}
    return [each for each in children(layer) if id(each) not in kept]


def _names(layer: keras.Layer) -> Iterator[str]:
    properties = (name for name in dir(type(layer)) if not name.startswith("__"))
    # PyTorch stores submodules in `_modules` instead of the instance's `__dict__`.
    modules = vars(layer).get("_modules", {})
    return (name for name in (*vars(layer), *modules, *properties) if name not in reserved())


def _kept_in(value: Any) -> Iterator[Any]:
    """Yield the layers and variables in a value, also inside nested lists, sets and dicts."""
    if isinstance(value, (keras.Layer, keras.Variable)):
        yield value
    elif isinstance(value, dict):
        yield from _kept_in(list(value.values()))
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _kept_in(item)
