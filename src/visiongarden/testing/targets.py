"""Targets for a head under test, and the comparison of its decoded results with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from visiongarden.errors import ConfigError
from visiongarden.parts import Head
from visiongarden.tasks import Match, Task
from visiongarden.testing.examples import examples_of
from visiongarden.types import ImageSize


def task_of_head(head: Head) -> Task | None:
    """Return the task of a head, or None if it is not registered."""
    try:
        return Task.find(head.task).of_head(head)
    except ConfigError:
        return None


def targets_for(
    head: Head, levels: list[str], size: ImageSize, batch: int
) -> dict[str, np.ndarray] | None:
    """Create targets for the head's task, see `Task.example_targets`.

    Targets in the class attribute `examples = {"targets": {...}}` take precedence.

    Args:
        head: Head whose task determines the targets.
        levels: Levels of its features.
        size: (height, width) of the image in pixels.
        batch: Number of images.

    Returns:
        Target arrays by name, or None if the task does not define them.
    """
    own = examples_of(type(head)).get("targets")
    if own is not None:
        return {name: np.asarray(value) for name, value in own.items()}
    task = task_of_head(head)
    return None if task is None else task.example_targets(head, levels, size, batch)


def empty(head: Head, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Create the targets of images without any object.

    Args:
        head: Head whose task determines the targets.
        targets: Targets with objects, which define names, shapes and dtypes.

    Returns:
        Target arrays by name, or None if the task does not define them.
    """
    task = task_of_head(head)
    return None if task is None else task.empty_targets(head, targets)


def matches(
    head: Head, targets: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray]
) -> list[Match]:
    """Compare the decoded results with the targets, image by image.

    Args:
        head: Head whose task determines the comparison.
        targets: Targets as `targets_for` returns them.
        decoded: Arrays of the head's decoding by name, batch first.

    Returns:
        One match per image; none if the task does not compare them.
    """
    task = task_of_head(head)
    if task is None:
        return []
    found = [
        task.match(targets, decoded, image) for image in range(len(next(iter(decoded.values()))))
    ]
    return [match for match in found if match is not None]
