"""Defaults of the training fields of a recipe: those of the task and of the number of images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from visiongarden.errors import ConfigError
from visiongarden.tasks import Defaults
from visiongarden.tasks.detection import SMALL_DATASET
from visiongarden.training import Training
from visiongarden.training.optimizer_fields import is_vectorized

ENOUGH_STEPS = 1200
"""Steps of the shortest run that the defaults choose: 300 epochs of 16 images, 4 per batch."""

MIN_STEPS = 300
"""Steps below which a network trained from scratch has hardly begun to detect anything."""

LENGTH = frozenset({"epochs", "batch_size", "validate_every"})
"""Training fields whose defaults depend on the number of images."""

MIN_BATCH_SIZE, STEPS_PER_EPOCH = 4, 4

_EVALUATIONS = 100

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


def default_length(images: int, training: Mapping[str, Any]) -> dict[str, int]:
    """Return `batch_size`, `epochs` and `validate_every` for a number of images.

    Fields that the recipe contains are left out. A batch of 16 makes one step per epoch of 16
    images, so 100 epochs would end after 100 steps. The batch size is halved down to 4 while an
    epoch has fewer than four steps, and the epochs are increased until the run has 1,200 steps.
    Datasets of 192 and more images keep 16 and 100. Small datasets are evaluated about 100 times at
    most, because there an evaluation takes as long as an epoch.

    Args:
        images: Number of images in the training split.
        training: Training fields in the recipe.
    """
    defaults = Training()
    length: dict[str, int] = {}
    size = training.get("batch_size")
    if size is None:
        size = defaults.batch_size
        while size > MIN_BATCH_SIZE and images // size < STEPS_PER_EPOCH:
            size //= 2
        length["batch_size"] = size
    epochs = training.get("epochs")
    if epochs is None and isinstance(size, int):
        steps = steps_per_epoch(images, size)
        epochs = length["epochs"] = max(defaults.epochs, math.ceil(ENOUGH_STEPS / steps))
    if "validate_every" not in training and isinstance(epochs, int) and images < SMALL_DATASET:
        length["validate_every"] = max(defaults.validate_every, epochs // _EVALUATIONS)
    return length


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the number of full batches per epoch; a dataset smaller than a batch is one batch."""
    return max(images // max(batch_size, 1), 1)


def warn_of_few_steps(training: Training, images: int) -> list[str]:
    """Return a warning if a run has too few steps to learn anything.

    Args:
        training: Training settings of the run.
        images: Number of images in the training split.
    """
    steps = steps_per_epoch(images, training.batch_size)
    total = steps * training.epochs
    if total >= MIN_STEPS:
        return []
    product = f"{training.epochs} × {steps}"
    return [
        f"{total} steps (epochs × steps per epoch: {product}) are too few to train from "
        f"scratch; at least {MIN_STEPS} are needed, about {ENOUGH_STEPS} for good results: "
        f"training.epochs={math.ceil(ENOUGH_STEPS / steps)}"
    ]
