"""Patterns of `training` that select weights of a model by path."""

from __future__ import annotations

from collections.abc import Iterable

from visiongarden.errors import ConfigError, UserError
from visiongarden.weights.rename import selected


def matching(paths: Iterable[str], pattern: str, field: str) -> frozenset[str]:
    """Return the paths that a pattern selects.

    Args:
        paths: Paths of the weights of a model.
        pattern: Prefix of whole segments, such as "backbone/**"; `*` matches within one segment,
            `**` one or more segments.
        field: Field of the recipe that contains the pattern, for the error.

    Raises:
        ConfigError: The pattern matches no path; the error lists the nearest ones.
    """
    try:
        return selected(paths, pattern)
    except UserError as error:
        raise ConfigError(
            f"{field}: {error.what}", rule=error.rule, received=error.received, fix=error.fix
        ) from error
