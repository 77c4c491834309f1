"""Instances under test: constructor arguments, copies of layers, attributes, random weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from visiongarden.backends.names import fresh_names
from visiongarden.backends.recorded_arguments import recorded_arguments
from visiongarden.backends.reserved_names import TRACKING
from visiongarden.backends.sublayers import with_sublayers
from visiongarden.layers import Composite
from visiongarden.parts import Part
from visiongarden.testing.hooks import RESERVED


@lru_cache(maxsize=1)
def _of_keras() -> frozenset[str]:
    """Return the names of the instance attributes that every Keras layer has."""
    with fresh_names():
        return frozenset(vars(keras.layers.Layer()))


def remembered(instance: Any) -> dict[str, Any] | None:
    """Return the constructor arguments that `Composite` or Keras recorded for an instance.

    Args:
        instance: Layer, model or part.

    Returns:
        Arguments by name, without `name`. None if none were recorded, or if the class is one of
        Keras's own, which is rebuilt from its config.
    """
    if isinstance(instance, Part):
        return {}
    if type(instance).__module__.startswith("keras."):
        return None  # Keras's own layers and models are rebuilt from their config
    own = instance._arguments if isinstance(instance, Composite) else None
    if own is None:
        own = recorded_arguments(instance)
    if own is None:
        return None
    names = inspect.signature(type(instance).__init__).parameters
    return {key: value for key, value in own.items() if key in names and key != "name"}


def renewed(config: dict[str, Any], policy: str | None = None) -> dict[str, Any]:
    """Copy the layers among constructor arguments, so that two instances share no weights.

    Args:
        config: Constructor arguments, also with layers in nested lists and dicts.
        policy: Name of a dtype policy. Copies of layers that have the global policy get this one
            instead, as if they had been constructed under it.
    """

    def renew(value: Any) -> Any:
        if isinstance(value, keras.Layer):
            return _copied(value, policy)
        if isinstance(value, dict) and _has_layer(value.values()):
            return {key: renew(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)) and _has_layer(value):
            items = [renew(item) for item in value]
            return items if isinstance(value, list) else tuple(items)
        return value

    return {key: renew(value) for key, value in config.items()}


def _has_layer(values: Any) -> bool:
    return any(
        isinstance(v, keras.Layer)
        or (isinstance(v, (list, tuple)) and _has_layer(v))
        or (isinstance(v, dict) and _has_layer(v.values()))
        for v in values
    )


def _copied(layer: Any, policy: str | None) -> Any:
    try:
        config = layer.get_config()
        if policy is not None:
            config = _under(config, keras.config.dtype_policy().name, policy)
        return type(layer).from_config(config)
    except (ValueError, TypeError, NotImplementedError):
        return layer  # `round_trip` and `reload` report that it cannot be copied


def _under(config: Any, before: str, policy: str) -> Any:
    """Replace one dtype policy by another in a config, including those of nested layers."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            named = (config.get("config") or {}).get("name")
            return {**config, "config": {"name": policy}} if named == before else config
        return {
            key: policy if key == "dtype" and item == before else _under(item, before, policy)
            for key, item in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_under(item, before, policy) for item in config)
    return config


def own_layers(layer: Any) -> list[Any]:
    """List the layer and its sublayers, without instances of Keras's own classes."""
    every = with_sublayers(layer)
    return [sub for sub in every if type(sub).__module__.split(".")[0] != "keras"]


def attributes(layer: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Iterate over a layer's own attributes and the contents of their containers.

    Attributes of sublayers are not visited.

    Args:
        layer: Layer whose attributes are listed, except those that every Keras layer has.
        depth: Maximum depth of nested containers.

    Yields:
        Name of the attribute, and its value or one item of its container.
    """
    for name, value in list(vars(layer).items()):
        is_keras = name in RESERVED or name in _of_keras() or name.startswith(TRACKING)
        if not is_keras:
            yield from within(name, value, depth)


def within(name: str, value: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Iterate over a value and, if it is a container, its contents.

    Args:
        name: Name to yield with each value.
        value: Any value; dicts, lists, tuples and sets are searched.
        depth: Maximum depth of nested containers.

    Yields:
        `name`, and the value or one item of the container.
    """
    yield name, value
    if depth and isinstance(value, dict):
        for item in list(value.values()):
            yield from within(name, item, depth - 1)
    elif depth and isinstance(value, (list, tuple, set)):
        for item in list(value):
            yield from within(name, item, depth - 1)


def randomize(layer: Any, seed: int = 0) -> None:
    """Add noise to every float variable in place, so that initial zeros and ones hide no bug.

    Trainable variables get normal noise with half of their own standard deviation. Where that is
    zero, the noise of kernels has a standard deviation of 1 / sqrt(fan-in) and that of vectors 0.2.
    Other variables get uniform noise from 0 to 0.3, which keeps variances positive.

    Args:
        layer: Built layer or model.
        seed: Seed of the noise.
    """
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        if "float" not in keras.backend.standardize_dtype(variable.dtype):
            continue
        value = keras.ops.convert_to_numpy(keras.ops.cast(variable.value, "float32"))
        if not variable.trainable:
            variable.assign(value + rng.uniform(0, 0.3, value.shape).astype("float32"))
            continue
        # 25 gives vectors a standard deviation of 1 / sqrt(25) = 0.2.
        fan = float(np.prod(value.shape[:-1])) if value.ndim > 1 else 25.0
        noise = 0.5 * float(value.std()) or 1 / np.sqrt(max(fan, 1.0))
        variable.assign(value + noise * rng.normal(size=value.shape).astype("float32"))
