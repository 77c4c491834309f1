"""Defaults of a task for the training fields of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from visiongarden.errors import ConfigError
from visiongarden.training.optimizer_fields import is_vectorized


def with_default_training(defaults: Mapping[str, Any], training: Any) -> Any:
    """Return the training fields of a recipe with the defaults of its task.

    The numbers of an optimizer hold for the vectorized optimizers; a recipe that names another
    optimizer keeps that one's own. All other defaults are those of `Training`.

    Args:
        defaults: `Defaults.training` of the task.
        training: Fields in the recipe; anything but a mapping is returned unchanged.
    """
    if not isinstance(training, Mapping):
        return training
    fields = {**defaults, **training}
    if "optimizer" in defaults and "optimizer" in training:
        fields["optimizer"] = _with_numbers(defaults["optimizer"], training["optimizer"])
    return fields


def _with_numbers(defaults: Mapping[str, Any], optimizer: Any) -> Any:
    fields = {"type": optimizer} if isinstance(optimizer, str) else optimizer
    if not isinstance(fields, Mapping) or not _has_defaults(fields.get("type")):
        return optimizer
    rate = fields.get("learning_rate", {})
    if isinstance(rate, Mapping) and "type" not in rate:
        rate = {**defaults.get("learning_rate", {}), **rate}
    return {**defaults, **fields, "learning_rate": rate}


def _has_defaults(optimizer: Any) -> bool:
    if optimizer is None:
        return True
    with suppress(ConfigError):  # raised again where the recipe is validated
        return is_vectorized(optimizer)
    return False
