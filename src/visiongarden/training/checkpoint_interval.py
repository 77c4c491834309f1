"""`CheckpointInterval`: how often a run is saved within an epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, model_validator

from visiongarden.config import Value
from visiongarden.errors import ConfigError

_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(min|minutes?|steps?)\s*")


class CheckpointInterval(Value):
    """Time or number of steps between two checkpoints; the first that is reached counts.

    Attributes:
        minutes: Minutes of training.
        steps: Steps of training.

    Example:
        >>> vg.training.CheckpointInterval.from_dict("500 steps")
        CheckpointInterval(minutes=None, steps=500)
    """

    minutes: Annotated[float, Field(gt=0)] | None = None
    steps: PositiveInt | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        if isinstance(value, Mapping | cls):
            return value
        found = _TEXT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ConfigError(
                "checkpoint_every is not a time or a number of steps",
                rule='minutes or steps: "10 minutes", "500 steps", or {minutes: 10}',
                received=f"{value!r:.80}",
                fix="training.checkpoint_every='10 minutes'",
            )
        number, unit = found.groups()
        if unit.startswith("min"):
            return {"minutes": float(number)}
        return {"steps": int(number) if number.isdigit() else float(number)}

    @model_validator(mode="after")
    def _one_is_given(self) -> Self:
        if self.minutes is None and self.steps is None:
            raise ConfigError(
                "checkpoint_every has neither minutes nor steps",
                rule="one of them, or null: the run is saved at the end of each epoch only",
                fix="training.checkpoint_every='10 minutes'",
            )
        return self

    def is_over(self, seconds: float, steps: int) -> bool:
        """Return whether the next checkpoint is due, so long after the last one."""
        by_time = self.minutes is not None and seconds >= 60 * self.minutes
        return by_time or (self.steps is not None and steps >= self.steps)
