"""Tasks: everything that differs between detection, classification and other problems."""

from __future__ import annotations

from typing import Any

from visiongarden.errors import UserError
from visiongarden.models.kinds import MadeOfParts, WithResize, WithSignature
from visiongarden.tasks.classification import ClassificationTask
from visiongarden.tasks.detection import COCO_NMS, DetectionTask
from visiongarden.tasks.instance_segmentation import InstanceSegmentationTask
from visiongarden.tasks.matching import Match
from visiongarden.tasks.multi_head import MultiHeadTask, common_resize
from visiongarden.tasks.multi_label import MultiLabelTask
from visiongarden.tasks.parity import Parity
from visiongarden.tasks.prediction_files import PredictionFiles
from visiongarden.tasks.regression import RegressionTask
from visiongarden.tasks.segmentation import SemanticSegmentationTask
from visiongarden.tasks.task import Defaults, Section, Task, in_words
from visiongarden.transforms import Resizing

__all__ = [
    "COCO_NMS",
    "ClassificationTask",
    "Defaults",
    "DetectionTask",
    "InstanceSegmentationTask",
    "Match",
    "MultiHeadTask",
    "MultiLabelTask",
    "Parity",
    "PredictionFiles",
    "RegressionTask",
    "Section",
    "SemanticSegmentationTask",
    "Task",
    "common_resize",
    "find",
    "is_decided",
    "resize_of",
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
    """Return the task of a model, with what it takes from the head, see `Task.of_head`."""
    if isinstance(model, WithSignature):
        found: Task = model.signature.find_task()
        return found
    kind: type[Task] = Task.find(model.task)
    return kind.of_head(model.parts.head) if isinstance(model, MadeOfParts) else kind()


def resize_of(model: Any) -> Resizing:
    """Return how images are brought to a model; for an object without `resize` that of its task."""
    return model.resize if isinstance(model, WithResize) else task_of(model).resize


def task_of_data(dataset: Any) -> Task:
    """Return the task for the annotations of a dataset, see `task_of_fields`."""
    return task_of_fields(dataset.fields, dataset.root, dataset)


def is_decided(fields: frozenset[str]) -> bool:
    """Return whether at most one task suits the annotations of a dataset that was not read."""
    return len(_suitable(fields, None)) <= 1


def _suitable(fields: frozenset[str], dataset: Any) -> list[Task]:
    """Return the tasks that suit a dataset, best first."""
    tasks = [kind() for kind in Task.by_name().values()]
    scores = {t.name: t.matches(fields, dataset) for t in tasks if set(t.needs) <= fields}
    # Of tasks that suit equally well the first by name, for the same answer in every process.
    return [find(name) for name in sorted(scores, key=lambda n: (-scores[n], n)) if scores[name]]


def task_of_fields(fields: frozenset[str], root: Any, dataset: Any = None) -> Task:
    """Return the task that suits the annotations of a dataset best, see `Task.matches`.

    Args:
        fields: Names of the annotations, see `Dataset.fields`.
        root: Root of the dataset, for messages.
        dataset: The dataset, or None if it has not been read.

    Raises:
        UserError: The dataset has no annotations that a task needs.
    """
    scored = _suitable(fields, dataset)
    if scored:
        return scored[0]
    tasks = [kind() for kind in Task.by_name().values()]
    raise UserError(
        f"{root} has no annotations that a task needs",
        rule="; ".join(
            f"{task.name}: {' and '.join(in_words(task.needs))}" for task in tasks if task.needs
        ),
        received=", ".join(in_words(fields)) or "images alone",
    )
