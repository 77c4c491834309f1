"""Registered classes: what a file may name so that another process can load it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import keras

from visiongarden import registry
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.config.value import REGISTERED
from visiongarden.errors import UserError


def key_of(cls: type) -> str | None:
    """Return the key under which a class is registered by `vg.register` or Keras, or None."""
    name = keras.saving.get_registered_name(cls)
    if keras.saving.get_custom_objects().get(name) is cls:
        return str(name)
    return registry.key_of(cls)


def required_key(cls: type) -> str:
    """Return the key of a class that is about to be written to a file.

    Raises:
        UserError: If the class is not registered, so that no process could load the file. The fix
            is the decorator to add.
    """
    key = key_of(cls)
    if key is not None:
        return key
    name = keras.saving.get_registered_name(cls)
    if name in keras.saving.get_custom_objects():
        raise UserError(
            f"{cls.__name__} has been replaced by a later definition of {name!r}, so the file "
            "could not be loaded",
            rule="objects of the class that is registered now",
            fix=f"create the {cls.__name__} again, then save the model",
        )
    raise UserError(
        f"{cls.__name__} is not registered, so the file could not be loaded",
        rule=REGISTERED,
        received=f"{cls.__module__}.{cls.__qualname__}",
        fix=f"put {decorator(cls)} above class {cls.__name__}",
    )


def decorator(cls: Any) -> str:
    """Return the line of code that registers a class or function, to put above its definition."""
    return decorator_in(cls.__module__, inspect.isfunction(cls))


def decorator_in(module: str, is_function: bool = False) -> str:
    """Return the line of code that registers a class or function of a module."""
    package = module.partition(".")[0]
    # The name of a script changes with the way in which it is run.
    package = "my_project" if package == "__main__" else package
    if is_function:
        return f'@keras.saving.register_keras_serializable(package="{package}")'
    return f'@vg.register(package="{package}")'


def registered_class(key: str, kind: type) -> Any:
    """Return the subclass of `kind` that is registered under a key, or None.

    Classes that are registered with Keras, or named in `keras.saving.custom_object_scope`, are
    found as well.
    """
    known = registry.registered(kind).get(key)
    found = keras.saving.get_registered_object(key) if known is None else known.cls
    return found if isinstance(found, type) and issubclass(found, kind) else None


def unregistered(config: Any) -> Iterator[str]:
    """Yield the classes and functions in a config that Keras could not find when reading it."""
    yield from (name for name, _ in unregistered_with_modules(config))


def unregistered_with_modules(config: Any) -> Iterator[tuple[str, str]]:
    """Yield name and module of the classes and functions in a config that Keras could not find.

    Opening a model file must not import anything that the file names.
    """
    if isinstance(config, dict):
        module, key = config.get("module"), config.get("registered_name")
        if config.get("class_name") == "function":
            if not _is_known_function(config):
                yield str(config.get("config")), str(module)
            return
        known = module in (None, "builtins") or str(module).partition(".")[0] == "keras"
        if (
            "class_name" in config
            and not known
            and keras.saving.get_registered_object(str(key)) is None
        ):
            yield str(key or module), str(module)
        for item in config.values():
            yield from unregistered_with_modules(item)
    elif isinstance(config, list):
        for item in config:
            yield from unregistered_with_modules(item)


def _is_known_function(config: dict[str, Any]) -> bool:
    try:
        # Looks the function up by its name, without a call or an import.
        return callable(keras.saving.deserialize_keras_object(config))
    except (TypeError, ValueError):
        return False


def refuse_quantized(model: keras.Model) -> None:
    """Raise an error if a layer of a model made of parts is quantized.

    Raises:
        UserError: If a layer has a quantized dtype policy. The parts build it in floating point, so
            that a file would not fit its model.
    """
    quantized = keras.dtype_policies.QuantizedDTypePolicy
    layers = [x for x in with_sublayers(model) if isinstance(x.dtype_policy, quantized)]
    if layers:
        raise UserError(
            f"{model.name!r} is quantized, so the file could not be loaded",
            rule="layers in floating point, as the parts build them",
            received=", ".join(layer.path for layer in layers[:3]),
            fix="save the model before quantizing its layers",
        )


def quantization_error(model: keras.Model) -> UserError:
    """Return the error of `model.quantize` for a model made of parts.

    Keras quantizes `Dense`, `EinsumDense` and `Embedding` layers and skips all others with a
    warning each: a detector would remain unchanged, and a classifier except for its last layer.
    """
    name = type(model).__name__
    cls = f"vg.{name}" if type(model).__module__.startswith("visiongarden.") else name
    return UserError(
        f"{model.name!r} cannot be quantized",
        rule="Keras quantizes Dense, EinsumDense and Embedding layers, but no convolutions",
        fix=f'use half the memory: small = {cls}.from_config(model.get_config() | {{"dtype": '
        '"bfloat16"}); small.set_weights(model.get_weights())',
    )
