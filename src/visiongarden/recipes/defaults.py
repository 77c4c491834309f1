"""Defaults of a task for the training fields of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from visiongarden.errors import ConfigError
from visiongarden.tasks import Defaults
from visiongarden.training.optimizer_fields import is_vectorized

_WHOLE_BACKBONE = frozenset({"backbone", "backbone/**"})


def with_default_training(defaults: Defaults, training: Any) -> Any:
    """Return the training fields of a recipe with the defaults of its task.

    The numbers of an optimizer hold for the vectorized optimizers; a recipe that names another
    optimizer keeps that one's own. All other defaults are those of `Training`.

    Args:
        defaults: Defaults of the task, with those for a backbone that stays frozen.
        training: Fields in the recipe; anything but a mapping is returned unchanged.
    """
    if not isinstance(training, Mapping):
        return training
    known = defaults.training
    if _stays_frozen(training):
        known = known | defaults.frozen
    fields = {**known, **training}
    if "optimizer" in known and "optimizer" in training:
        fields["optimizer"] = _with_numbers(known["optimizer"], training["optimizer"])
    return fields


def _stays_frozen(training: Mapping[str, Any]) -> bool:
    """Return whether no weight of the backbone is ever trained."""
    if training.get("unfreeze_at_epoch") is not None:
        return False
    patterns = training.get("freeze") or ()
    patterns = (patterns,) if isinstance(patterns, str) else patterns
    return isinstance(patterns, list | tuple) and not _WHOLE_BACKBONE.isdisjoint(map(str, patterns))


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
