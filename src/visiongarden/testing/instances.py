"""New instances like an old one: its arguments, copies of layers among them, random weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from visiongarden.backends.keras_internals import fresh_names
from visiongarden.parts import Part
from visiongarden.testing.hooks import RESERVED

_TRACKING = ("_self_", "_torch_params", "_unconditional_")
"""Beginnings of names that TensorFlow and PyTorch give to what they track."""


@lru_cache(maxsize=1)
def _of_keras() -> frozenset[str]:
    """Attributes that every layer has."""
    with fresh_names():
        return frozenset(vars(keras.layers.Layer()))


def remembered(instance: Any) -> dict[str, Any] | None:
    """Constructor arguments that `Composite` or Keras remember of a call."""
    if isinstance(instance, Part):
        return {}
    if type(instance).__module__.startswith("keras."):
        return None  # Keras's own layers and models have a config to be made again from
    own = getattr(instance, "_arguments", None)
    if own is None:
        auto = getattr(instance, "_auto_config", None)
        own = auto.config if auto is not None else None
    if own is None:
        return None
    names = inspect.signature(type(instance).__init__).parameters
    return {key: value for key, value in own.items() if key in names and key != "name"}


def renewed(config: dict[str, Any], policy: str | None = None) -> dict[str, Any]:
    """The arguments with copies of the layers among them: two subjects share no weight.

    Args:
        config: constructor arguments.
        policy: name of a dtype policy that the copies have where the layers have the global one,
            as if they had been made under it.
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
        return layer  # `round_trip` and `reload` tell about it


def _under(config: Any, before: str, policy: str) -> Any:
    """A config with one dtype policy for another, also of the layers inside."""
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
    """The layer and those inside of it that are no classes of Keras's."""
    every = layer._flatten_layers()
    return [sub for sub in every if type(sub).__module__.split(".")[0] != "keras"]


def attributes(layer: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Name and value of what a layer holds itself, also in containers, without layers' insides.

    Args:
        layer: whose attributes are wanted; those that every layer has are left out.
        depth: of containers in containers.
    """
    for name, value in list(vars(layer).items()):
        is_keras = name in RESERVED or name in _of_keras() or name.startswith(_TRACKING)
        if not is_keras:
            yield from within(name, value, depth)


def within(name: str, value: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """A value and, where it is a container, what is in it, all under one name."""
    yield name, value
    if depth and isinstance(value, dict):
        for item in list(value.values()):
            yield from within(name, item, depth - 1)
    elif depth and isinstance(value, (list, tuple, set)):
        for item in list(value):
            yield from within(name, item, depth - 1)


def randomise(layer: Any, seed: int = 0) -> None:
    """Moves every float weight from its start, so that zeros and ones hide nothing.

    Trainable ones by normal noise of half their spread (0.2 where they have none, a fan-in's worth
    for kernels); others up by as much as 0.3, which keeps variances positive.
    """
    rng = np.random.default_rng(seed)
    for variable in layer.variables:
        if "float" not in keras.backend.standardize_dtype(variable.dtype):
            continue
        value = keras.ops.convert_to_numpy(keras.ops.cast(variable.value, "float32"))
        if not variable.trainable:
            variable.assign(value + rng.uniform(0, 0.3, value.shape).astype("float32"))
            continue
        fan = float(np.prod(value.shape[:-1])) if value.ndim > 1 else 25.0
        noise = 0.5 * float(value.std()) or 1 / np.sqrt(max(fan, 1.0))
        variable.assign(value + noise * rng.normal(size=value.shape).astype("float32"))
