"""The length of a run: epochs and batch size for small data sets, and too few steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from visiongarden.training import Training
from visiongarden.transforms import Augmentation

ENOUGH_STEPS = 1200
"""Steps of the shortest run that is chosen: 300 epochs of 16 images in batches of 4."""

MIN_STEPS = 300
"""Below this a network from scratch has hardly begun to detect, whatever the data."""

LENGTH = frozenset({"epochs", "batch_size", "judge_every"})
"""Fields of the training that follow from the number of images where they are not given."""

MIN_BATCH_SIZE, STEPS_PER_EPOCH = 4, 4
_EVALUATIONS = 100
_SMALL = 192
"""Images of the smallest set that has enough steps at the general batch size and epochs."""


def default_length(images: int, training: Mapping[str, Any]) -> dict[str, int]:
    """Batch size, epochs and `judge_every` for so many images, where the recipe leaves them open.

    A batch of 16 makes one step an epoch of 16 images, so 100 epochs would end after 100 steps.
    The batch size is halved down to 4 while an epoch has fewer than four steps, and the epochs
    rise until the run has 1,200 steps. Sets of 192 images and more keep 16 and 100. Small sets are
    evaluated at most about 100 times: there an evaluation takes as long as an epoch.

    Args:
        images: number of images of the training split.
        training: the fields that the recipe gives.
    """
    defaults = Training()
    found: dict[str, int] = {}
    size = training.get("batch_size")
    if size is None:
        size = defaults.batch_size
        while size > MIN_BATCH_SIZE and images // size < STEPS_PER_EPOCH:
            size //= 2
        found["batch_size"] = size
    epochs = training.get("epochs")
    if epochs is None and isinstance(size, int):
        steps = steps_per_epoch(images, size)
        epochs = found["epochs"] = max(defaults.epochs, math.ceil(ENOUGH_STEPS / steps))
    if "judge_every" not in training and isinstance(epochs, int) and images < _SMALL:
        found["judge_every"] = max(defaults.judge_every, epochs // _EVALUATIONS)
    return found


def mosaic_off_epochs(images: int, epochs: int) -> int:
    """Epochs at the end of a run that show whole images, for so many images.

    Ten suit 60 epochs. In a run of 300 on a small set the cosine has then brought the learning rate
    below 1.5 % of its peak, too little to learn what a whole image looks like; so a sixth of the
    epochs there.

    Args:
        images: number of images of the training split.
        epochs: of the run.
    """
    general = Augmentation().mosaic_off_epochs
    return max(general, epochs // 6) if images < _SMALL else general


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Full batches of an epoch; a set smaller than a batch is one batch."""
    return max(images // max(batch_size, 1), 1)


def shortage(training: Training, images: int) -> str | None:
    """What to report of a run that has too few steps to learn anything; None where it has enough.

    Args:
        training: settings of the run.
        images: number of images of the training split.
    """
    steps = steps_per_epoch(images, training.batch_size)
    total = steps * training.epochs
    if total >= MIN_STEPS:
        return None
    shape = f"{training.epochs} × {steps}"
    return (
        f"warning: {total} steps (epochs × steps per epoch: {shape}) are too few to learn from "
        f"scratch; at least {MIN_STEPS} are needed, about {ENOUGH_STEPS} for good results: "
        f"training.epochs={math.ceil(ENOUGH_STEPS / steps)}"
    )
