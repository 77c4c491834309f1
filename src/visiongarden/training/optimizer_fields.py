"""Defaults of the field `training.optimizer`, and checks of its numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras

from visiongarden.config import KerasOptimizer, KerasSchedule
from visiongarden.errors import ConfigError
from visiongarden.training.schedules import WarmupCosine
from visiongarden.training.vector_optimizers import VectorAdamW, VectorOptimizer

DEFAULT, SCHEDULE = VectorAdamW.__name__, WarmupCosine.__name__
_DEFAULTS: dict[str, Any] = {"weight_decay": 0.05, "global_clipnorm": 10.0}
_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
_LIMITS: dict[str, tuple[bool, str]] = {
    "learning_rate": (True, "greater than 0"),
    "weight_decay": (False, "at least 0"),
    **dict.fromkeys(_CLIPPING, (True, "greater than 0")),
}
"""Argument -> (whether 0 is excluded, rule); Keras checks none of them."""


def completed(optimizer: Any) -> Any:
    """Return the field with the defaults of a run.

    Without a `type` it is `VectorAdamW`. A vectorized optimizer has the weight decay and clipping
    of the defaults where they are left out, and a number as its learning rate is the peak of
    `WarmupCosine`. An optimizer of Keras has Keras's defaults, and a number is constant. A schedule
    without a `type` is `WarmupCosine`.

    Args:
        optimizer: Name, mapping, `KerasOptimizer`, or optimizer of Keras.
    """
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return _of_object(optimizer)
    if isinstance(optimizer, KerasOptimizer):
        optimizer = optimizer.to_dict()
    if isinstance(optimizer, str):
        optimizer = {"type": optimizer}
    if not isinstance(optimizer, Mapping):
        return optimizer
    fields = {"type": DEFAULT} | dict(optimizer)
    rate = fields.get("learning_rate")
    if is_vectorized(fields["type"]):
        is_clipped = any(fields.get(name) is not None for name in _CLIPPING)
        omitted = ("global_clipnorm",) if is_clipped else ()
        rate = {} if rate is None else rate
        rate = {"peak": rate} if _is_number(rate) else rate
        fields["learning_rate"] = rate
        fields |= {k: v for k, v in _DEFAULTS.items() if k not in (*fields, *omitted)}
    if isinstance(rate, Mapping):
        fields["learning_rate"] = _completed_schedule(rate)
    return fields


def is_vectorized(name: Any) -> bool:
    """Return whether a name is that of an optimizer that updates all weights as one vector."""
    return isinstance(name, str) and issubclass(KerasOptimizer.find(name), VectorOptimizer)


def check_numbers(optimizer: KerasOptimizer) -> None:
    """Check the learning rate, weight decay and limits of gradients.

    Raises:
        ConfigError: A number is outside its range, or no number.
    """
    for name, (above, rule) in _LIMITS.items():
        value = optimizer.arguments.get(name)
        if value is None or (name == "learning_rate" and isinstance(value, Mapping)):
            continue
        if not _is_number(value) or value < 0 or (above and value == 0):
            raise ConfigError(
                f"{name} must be a number {rule}",
                received=f"{value!r:.80}",
                fix=f"training.optimizer.{name}={_example(name)}",
            )


def check_place(fields: Mapping[str, Any], known: Collection[str]) -> None:
    """Check that arguments of the optimizer or of its schedule are not fields beside it.

    Args:
        fields: Fields of `training`.
        known: Names of the valid fields.

    Raises:
        ConfigError: One is; the error names its place.
    """
    schedule = KerasSchedule.parameters_of(SCHEDULE).defaults
    optimizer = KerasOptimizer.parameters_of(DEFAULT).defaults
    for name, value in fields.items():
        owner = "optimizer." if name in optimizer else "optimizer.learning_rate."
        if name not in known and name in (*optimizer, *schedule):
            raise ConfigError(
                f"unknown field {name!r}",
                rule="numbers of the optimizer and of its schedule are in training.optimizer",
                received=f"training.{name}={value!r:.40}",
                fix=f"training.{owner}{name}={value!r:.40}",
            )


def _example(name: str) -> float:
    return 0.001 if name == "learning_rate" else _DEFAULTS.get(name, 1.0)


def _completed_schedule(rate: Mapping[str, Any]) -> dict[str, Any]:
    rate = {"type": SCHEDULE} | dict(rate)
    if rate["type"] != SCHEDULE:
        return rate
    # The length of the run is filled in when it starts.
    defaults = {key: v for key, v in WarmupCosine().get_config().items() if v is not None}
    return {"type": SCHEDULE} | defaults | rate


def _of_object(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Return an optimizer of Keras as plain data, with what it means in Python."""
    fields = KerasOptimizer.of(optimizer)
    # An automatic name such as "adam_3" counts the optimizers created earlier in this process; a
    # resumed run would be refused because of it.
    del fields["name"]
    rate = fields.get("learning_rate")
    if isinstance(optimizer, VectorOptimizer) and _is_number(rate):
        constant = {"warmup_epochs": 0.0, "final_lr_fraction": 1.0}
        fields["learning_rate"] = {"type": SCHEDULE, "peak": rate} | constant
    return fields


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
