"""Tasks: everything that differs between detection, classification and segmentation."""

from __future__ import annotations

from typing import Any

from visiongarden.errors import UserError, nearest
from visiongarden.tasks.classification import Classification
from visiongarden.tasks.detection import COCO_NMS, Detection
from visiongarden.tasks.segmentation import Segmentation
from visiongarden.tasks.task import Task, in_words

TASKS: dict[str, Task] = {
    task.name: task for task in (Detection(), Segmentation(), Classification())
}

__all__ = [
    "COCO_NMS",
    "TASKS",
    "Classification",
    "Detection",
    "Segmentation",
    "Task",
    "find",
    "task_of",
    "task_of_data",
    "task_of_fields",
]


def find(name: str) -> Task:
    """Return the task of a name.

    Raises:
        UserError: There is no such task; the error lists the names.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}", fix=nearest(name, TASKS))
    return TASKS[name]


def task_of(model: Any) -> Task:
    """Return the task of a model that is made of parts."""
    return find(model.task)


def task_of_data(dataset: Any) -> Task:
    """Return the task for the annotations of a dataset, see `task_of_fields`."""
    return task_of_fields(dataset.fields, dataset.root)


def task_of_fields(fields: frozenset[str], root: Any) -> Task:
    """Return the task for the annotations of a dataset.

    A dataset with several kinds of annotations has the first of detection, segmentation and
    classification that it is sufficient for.

    Args:
        fields: Names of the annotations, see `Dataset.fields`.
        root: Root of the dataset, for messages.

    Raises:
        UserError: The dataset has no annotations that a task needs.
    """
    for task in TASKS.values():
        if set(task.needs) <= fields:
            return task
    raise UserError(
        f"{root} has no annotations that a task needs",
        rule="; ".join(
            f"{task.name}: {' and '.join(in_words(task.needs))}" for task in TASKS.values()
        ),
        received=", ".join(in_words(fields)) or "images alone",
    )
