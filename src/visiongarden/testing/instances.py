"""New instances like an old one: its arguments, copies of layers among them, random weights."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np

from visiongarden.parts import Part


def remembered(instance: Any) -> dict[str, Any] | None:
    """Constructor arguments that `Composite` or Keras remember of a call."""
    if isinstance(instance, Part):
        return {}
    own = getattr(instance, "_arguments", None)
    if own is None:
        auto = getattr(instance, "_auto_config", None)
        own = auto.config if auto is not None else None
    if own is None:
        return None
    names = inspect.signature(type(instance).__init__).parameters
    return {key: value for key, value in own.items() if key in names and key != "name"}


def renewed(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments with copies of the layers among them: two subjects share no weight."""

    def renew(value: Any) -> Any:
        if isinstance(value, keras.Layer):
            try:
                return type(value).from_config(value.get_config())
            except (ValueError, TypeError, NotImplementedError):
                return value  # `round_trip` and `reload` tell about it
        if isinstance(value, (list, tuple)) and any(isinstance(v, keras.Layer) for v in value):
            return type(value)(renew(item) for item in value)
        return value

    return {key: renew(value) for key, value in config.items()}


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
