"""Check ranges in the fields of transforms."""

from __future__ import annotations

from visiongarden.errors import ConfigError


def ordered(limits: tuple[float, float]) -> tuple[float, float]:
    """Return a pair of limits, the smaller one first.

    Raises:
        ConfigError: the larger one is first.
    """
    if limits[0] > limits[1]:
        raise ConfigError(
            "the limits are in the wrong order",
            rule="[minimum, maximum]",
            received=str(list(limits)),
            fix=str([limits[1], limits[0]]),
        )
    return limits
