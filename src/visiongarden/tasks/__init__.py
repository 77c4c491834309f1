"""Tasks: everything that differs between detection, classification and other problems."""

from __future__ import annotations

from typing import Any

from visiongarden.errors import UserError
from visiongarden.tasks.classification import ClassificationTask
from visiongarden.tasks.detection import COCO_NMS, DetectionTask
from visiongarden.tasks.matching import Match
from visiongarden.tasks.parity import Parity
from visiongarden.tasks.prediction_files import PredictionFiles
from visiongarden.tasks.segmentation import SemanticSegmentationTask
from visiongarden.tasks.task import Defaults, Section, Task, in_words

__all__ = [
    "COCO_NMS",
    "ClassificationTask",
    "Defaults",
    "DetectionTask",
    "Match",
    "Parity",
    "PredictionFiles",
    "Section",
    "SemanticSegmentationTask",
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
    return Task.find(name)()


def task_of(model: Any) -> Task:
    """Return the task of a model that is made of parts."""
    return find(model.task)


def task_of_data(dataset: Any) -> Task:
    """Return the task for the annotations of a dataset, see `task_of_fields`."""
    return task_of_fields(dataset.fields, dataset.root, dataset)


def task_of_fields(fields: frozenset[str], root: Any, dataset: Any = None) -> Task:
    """Return the task that suits the annotations of a dataset best, see `Task.matches`.

    Args:
        fields: Names of the annotations, see `Dataset.fields`.
        root: Root of the dataset, for messages.
        dataset: The dataset, or None if it has not been read.

    Raises:
        UserError: The dataset has no annotations that a task needs.
    """
    tasks = [kind() for kind in Task.names().values()]
    suitable = [task for task in tasks if set(task.needs) <= fields]
    # Of tasks that suit equally well the first by name, for the same answer in every process.
    scored = sorted((-task.matches(fields, dataset), task.name) for task in suitable)
    if scored and scored[0][0] < 0:
        return find(scored[0][1])
    raise UserError(
        f"{root} has no annotations that a task needs",
        rule="; ".join(f"{task.name}: {' and '.join(in_words(task.needs))}" for task in tasks),
        received=", ".join(in_words(fields)) or "images alone",
    )
